"""Write the pages of docs/reference that are made from the code: `python -m tests.reference`."""

from tests.reference.pages import pages

for path, text in pages().items():
    path.write_text(text, encoding="utf-8")
