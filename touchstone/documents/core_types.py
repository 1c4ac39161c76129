"""Which fields have Kubernetes' own types inside Tekton's objects, and of what type is each?

Names and types as in k8s.io/api/core/v1 and apimachinery 0.35, which Tekton decodes by.
"""

from __future__ import annotations

from functools import cache

from touchstone.documents.shapes import (
    ANY,
    BASE64,
    FLAG,
    INT32,
    NUMBER,
    PORT,
    QUANTITY,
    TEXT,
    TIME,
    Core,
    ListOf,
    MapOf,
    Shape,
    Table,
)

_LEAVES: dict[str, Shape] = {
    "string": TEXT,
    "bool": FLAG,
    "int32": INT32,
    "int64": NUMBER,
    "bytes": BASE64,
    "time": TIME,
    "quantity": QUANTITY,
    "port": PORT,
    "any": ANY,
}
# TYPE: FIELD FIELD … TYPE; FIELD … TYPE. As in Go, []TYPE is a list; {}TYPE are keys with values.
_TYPES = """
AWSElasticBlockStoreVolumeSource: volumeID fsType string; partition int32; readOnly bool
Affinity: nodeAffinity NodeAffinity; podAffinity PodAffinity; podAntiAffinity PodAntiAffinity
AppArmorProfile: type localhostProfile string
AzureDiskVolumeSource: diskName diskURI cachingMode fsType kind string; readOnly bool
AzureFileVolumeSource: secretName shareName string; readOnly bool
CSIVolumeSource: driver fsType string; readOnly bool; volumeAttributes {}string;
  nodePublishSecretRef LocalObjectReference
Capabilities: add drop []string
CephFSVolumeSource: monitors []string; path user secretFile string; secretRef
  LocalObjectReference; readOnly bool
CinderVolumeSource: volumeID fsType string; readOnly bool; secretRef LocalObjectReference
ClusterTrustBundleProjection: name signerName path string; labelSelector LabelSelector; optional
  bool
ConfigMap: kind apiVersion string; metadata ObjectMeta; immutable bool; data {}string; binaryData
  {}bytes
ConfigMapEnvSource: name string; optional bool
ConfigMapKeySelector: name key string; optional bool
ConfigMapProjection: name string; items []KeyToPath; optional bool
ConfigMapVolumeSource: name string; items []KeyToPath; defaultMode int32; optional bool
ContainerPort: name protocol hostIP string; hostPort containerPort int32
DownwardAPIProjection: items []DownwardAPIVolumeFile
DownwardAPIVolumeFile: path string; fieldRef ObjectFieldSelector; resourceFieldRef
  ResourceFieldSelector; mode int32
DownwardAPIVolumeSource: items []DownwardAPIVolumeFile; defaultMode int32
EmptyDirVolumeSource: medium string; sizeLimit quantity
EnvFromSource: prefix string; configMapRef ConfigMapEnvSource; secretRef SecretEnvSource
EnvVar: name value string; valueFrom EnvVarSource
EnvVarSource: fieldRef ObjectFieldSelector; resourceFieldRef ResourceFieldSelector;
  configMapKeyRef ConfigMapKeySelector; secretKeyRef SecretKeySelector; fileKeyRef FileKeySelector
EphemeralVolumeSource: volumeClaimTemplate PersistentVolumeClaimTemplate
ExecAction: command []string
FCVolumeSource: targetWWNs wwids []string; lun int32; fsType string; readOnly bool
FileKeySelector: volumeName path key string; optional bool
FlexVolumeSource: driver fsType string; secretRef LocalObjectReference; readOnly bool; options
  {}string
FlockerVolumeSource: datasetName datasetUUID string
GCEPersistentDiskVolumeSource: pdName fsType string; partition int32; readOnly bool
GRPCAction: port int32; service string
GitRepoVolumeSource: repository revision directory string
GlusterfsVolumeSource: endpoints path string; readOnly bool
HTTPGetAction: path host scheme string; port port; httpHeaders []HTTPHeader
HTTPHeader: name value string
HostAlias: ip string; hostnames []string
HostPathVolumeSource: path type string
ISCSIVolumeSource: targetPortal iqn iscsiInterface fsType initiatorName string; lun int32;
  readOnly chapAuthDiscovery chapAuthSession bool; portals []string; secretRef
  LocalObjectReference
ImageVolumeSource: reference pullPolicy string
KeyToPath: key path string; mode int32
LabelSelector: matchLabels {}string; matchExpressions []LabelSelectorRequirement
LabelSelectorRequirement: key operator string; values []string
Lifecycle: postStart preStop LifecycleHandler; stopSignal string
LifecycleHandler: exec ExecAction; httpGet HTTPGetAction; tcpSocket TCPSocketAction; sleep
  SleepAction
LocalObjectReference: name string
NFSVolumeSource: server path string; readOnly bool
NodeAffinity: requiredDuringSchedulingIgnoredDuringExecution NodeSelector;
  preferredDuringSchedulingIgnoredDuringExecution []PreferredSchedulingTerm
NodeSelector: nodeSelectorTerms []NodeSelectorTerm
NodeSelectorRequirement: key operator string; values []string
NodeSelectorTerm: matchExpressions matchFields []NodeSelectorRequirement
ObjectFieldSelector: apiVersion fieldPath string
ObjectMeta: name generateName namespace selfLink uid resourceVersion string; generation
  deletionGracePeriodSeconds int64; creationTimestamp deletionTimestamp time; labels annotations
  {}string; ownerReferences []OwnerReference; finalizers []string; managedFields []any
ObjectReference: kind namespace name uid apiVersion resourceVersion fieldPath string
OwnerReference: apiVersion kind name uid string; controller blockOwnerDeletion bool
PersistentVolumeClaim: kind apiVersion string; metadata ObjectMeta; spec
  PersistentVolumeClaimSpec; status any
PersistentVolumeClaimSpec: accessModes []string; selector LabelSelector; resources
  VolumeResourceRequirements; volumeName storageClassName volumeMode volumeAttributesClassName
  string; dataSource TypedLocalObjectReference; dataSourceRef TypedObjectReference
PersistentVolumeClaimTemplate: metadata ObjectMeta; spec PersistentVolumeClaimSpec
PersistentVolumeClaimVolumeSource: claimName string; readOnly bool
PhotonPersistentDiskVolumeSource: pdID fsType string
PodAffinity: requiredDuringSchedulingIgnoredDuringExecution []PodAffinityTerm;
  preferredDuringSchedulingIgnoredDuringExecution []WeightedPodAffinityTerm
PodAffinityTerm: labelSelector namespaceSelector LabelSelector; namespaces matchLabelKeys
  mismatchLabelKeys []string; topologyKey string
PodAntiAffinity: requiredDuringSchedulingIgnoredDuringExecution []PodAffinityTerm;
  preferredDuringSchedulingIgnoredDuringExecution []WeightedPodAffinityTerm
PodCertificateProjection: signerName keyType credentialBundlePath keyPath certificateChainPath
  string; maxExpirationSeconds int32; userAnnotations {}string
PodDNSConfig: nameservers searches []string; options []PodDNSConfigOption
PodDNSConfigOption: name value string
PodSecurityContext: seLinuxOptions SELinuxOptions; windowsOptions WindowsSecurityContextOptions;
  runAsUser runAsGroup fsGroup int64; runAsNonRoot bool; supplementalGroups []int64;
  supplementalGroupsPolicy fsGroupChangePolicy seLinuxChangePolicy string; sysctls []Sysctl;
  seccompProfile SeccompProfile; appArmorProfile AppArmorProfile
PodTemplate: nodeSelector {}string; env []EnvVar; tolerations []Toleration; affinity Affinity;
  securityContext PodSecurityContext; volumes []Volume; runtimeClassName dnsPolicy
  priorityClassName schedulerName string; automountServiceAccountToken enableServiceLinks
  hostNetwork hostUsers bool; dnsConfig PodDNSConfig; imagePullSecrets []LocalObjectReference;
  hostAliases []HostAlias; topologySpreadConstraints []TopologySpreadConstraint
PortworxVolumeSource: volumeID fsType string; readOnly bool
PreferredSchedulingTerm: weight int32; preference NodeSelectorTerm
Probe: exec ExecAction; httpGet HTTPGetAction; tcpSocket TCPSocketAction; grpc GRPCAction;
  initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold int32;
  terminationGracePeriodSeconds int64
ProjectedVolumeSource: sources []VolumeProjection; defaultMode int32
QuobyteVolumeSource: registry volume user group tenant string; readOnly bool
RBDVolumeSource: monitors []string; image fsType pool user keyring string; secretRef
  LocalObjectReference; readOnly bool
ResourceClaim: name request string
ResourceFieldSelector: containerName resource string; divisor quantity
ResourceRequirements: limits requests {}quantity; claims []ResourceClaim
SELinuxOptions: user role type level string
ScaleIOVolumeSource: gateway system protectionDomain storagePool storageMode volumeName fsType
  string; secretRef LocalObjectReference; sslEnabled readOnly bool
SeccompProfile: type localhostProfile string
Secret: kind apiVersion type string; metadata ObjectMeta; immutable bool; data {}bytes; stringData
  {}string
SecretEnvSource: name string; optional bool
SecretKeySelector: name key string; optional bool
SecretProjection: name string; items []KeyToPath; optional bool
SecretVolumeSource: secretName string; items []KeyToPath; defaultMode int32; optional bool
SecurityContext: capabilities Capabilities; privileged runAsNonRoot readOnlyRootFilesystem
  allowPrivilegeEscalation bool; seLinuxOptions SELinuxOptions; windowsOptions
  WindowsSecurityContextOptions; runAsUser runAsGroup int64; procMount string; seccompProfile
  SeccompProfile; appArmorProfile AppArmorProfile
ServiceAccount: kind apiVersion string; metadata ObjectMeta; secrets []ObjectReference;
  imagePullSecrets []LocalObjectReference; automountServiceAccountToken bool
ServiceAccountTokenProjection: audience path string; expirationSeconds int64
SleepAction: seconds int64
StorageOSVolumeSource: volumeName volumeNamespace fsType string; readOnly bool; secretRef
  LocalObjectReference
Sysctl: name value string
TCPSocketAction: port port; host string
Toleration: key operator value effect string; tolerationSeconds int64
TopologySpreadConstraint: maxSkew minDomains int32; topologyKey whenUnsatisfiable
  nodeAffinityPolicy nodeTaintsPolicy string; labelSelector LabelSelector; matchLabelKeys []string
TypedLocalObjectReference: apiGroup kind name string
TypedObjectReference: apiGroup kind name namespace string
Volume: name string; hostPath HostPathVolumeSource; emptyDir EmptyDirVolumeSource;
  gcePersistentDisk GCEPersistentDiskVolumeSource; awsElasticBlockStore
  AWSElasticBlockStoreVolumeSource; gitRepo GitRepoVolumeSource; secret SecretVolumeSource; nfs
  NFSVolumeSource; iscsi ISCSIVolumeSource; glusterfs GlusterfsVolumeSource; persistentVolumeClaim
  PersistentVolumeClaimVolumeSource; rbd RBDVolumeSource; flexVolume FlexVolumeSource; cinder
  CinderVolumeSource; cephfs CephFSVolumeSource; flocker FlockerVolumeSource; downwardAPI
  DownwardAPIVolumeSource; fc FCVolumeSource; azureFile AzureFileVolumeSource; configMap
  ConfigMapVolumeSource; vsphereVolume VsphereVirtualDiskVolumeSource; quobyte
  QuobyteVolumeSource; azureDisk AzureDiskVolumeSource; photonPersistentDisk
  PhotonPersistentDiskVolumeSource; projected ProjectedVolumeSource; portworxVolume
  PortworxVolumeSource; scaleIO ScaleIOVolumeSource; storageos StorageOSVolumeSource; csi
  CSIVolumeSource; ephemeral EphemeralVolumeSource; image ImageVolumeSource
VolumeDevice: name devicePath string
VolumeMount: name recursiveReadOnly mountPath subPath mountPropagation subPathExpr string;
  readOnly bool
VolumeProjection: secret SecretProjection; downwardAPI DownwardAPIProjection; configMap
  ConfigMapProjection; serviceAccountToken ServiceAccountTokenProjection; clusterTrustBundle
  ClusterTrustBundleProjection; podCertificate PodCertificateProjection
VolumeResourceRequirements: limits requests {}quantity
VsphereVirtualDiskVolumeSource: volumePath fsType storagePolicyName storagePolicyID string
WeightedPodAffinityTerm: weight int32; podAffinityTerm PodAffinityTerm
WindowsSecurityContextOptions: gmsaCredentialSpecName gmsaCredentialSpec runAsUserName string;
  hostProcess bool
"""


@cache
def table(name: str) -> Table:
    """The fields of a type. Raises KeyError for one that is not among these."""
    fields: dict[str, Shape] = {}
    for group in _texts()[name].split(";"):
        *names, kind = group.split()
        fields |= dict.fromkeys(names, _shape(kind))
    return Table(name, fields)


def names() -> list[str]:
    """Every type, sorted."""
    return sorted(_texts())


@cache
def _texts() -> dict[str, str]:
    lines = _TYPES.strip().replace("\n  ", " ").splitlines()
    return {name: text for name, _, text in (line.partition(": ") for line in lines)}


def _shape(kind: str) -> Shape:
    if kind.startswith("[]"):
        return ListOf(_shape(kind[2:]))
    if kind.startswith("{}"):
        return MapOf(_shape(kind[2:]))
    return _LEAVES.get(kind) or Core(kind)
