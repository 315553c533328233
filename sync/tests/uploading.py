"""What a person does on the page "Upload", for tests: without a browser."""

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from sync.models import Upload
from tenants.scope import every_company
from tenants.tests.staff import TAGS

LIST = "/admin/sync/upload/"
JSON = {"accept": "application/json"}


def brought(staff: Client, data: bytes, name: str = "pieces.csv", entity: str = "pieces") -> Upload:
    """An upload that has not been read yet."""
    answer = staff.post(f"{LIST}new/", {"entity": entity, "file": SimpleUploadedFile(name, data)})
    assert answer.status_code == 302
    with every_company():
        upload: Upload = Upload.objects.get(guid=answer["Location"].split("/")[-3])
    return upload


def uploaded(staff: Client, data: bytes, name: str = "pieces.csv", entity: str = "pieces") -> Upload:
    return worked(staff, brought(staff, data, name, entity))


def page_of(upload: Upload, page: str = "change/") -> str:
    return f"{LIST}{upload.guid}/{page}"


def worked(staff: Client, upload: Upload, requests: int = 1000) -> Upload:
    """As the page's script does it: goes on until a person is needed."""
    for _ in range(requests):
        answer = staff.post(page_of(upload, "go-on/"), headers=JSON)
        assert answer.status_code == 200
        if answer.json()["stage"] not in Upload.WORKING:
            break
    with every_company():
        upload.refresh_from_db()
    return upload


def decided(staff: Client, upload: Upload, decision: str, **fields: str) -> Upload:
    """With these fields for these columns, and else those that are chosen already."""
    decide(staff, upload, decision, **fields)
    return worked(staff, upload)


def decide(staff: Client, upload: Upload, decision: str, **fields: str) -> None:
    chosen = [fields.get(name, upload.mapping.get(name, "")) for name in upload.columns]
    staff.post(page_of(upload, "decide/"), {"decision": decision, "field": chosen})


def imported(staff: Client, data: bytes, name: str = "pieces.csv", entity: str = "pieces") -> Upload:
    """By the columns that are guessed."""
    return decided(staff, decided(staff, uploaded(staff, data, name, entity), "check"), "import")


def faults_on(response: Any) -> list[tuple[str, ...]]:
    """The rows of the table of faults: row, column, value, what is wrong."""
    table = response.content.decode().partition('id="faults"')[2].partition("</table>")[0]
    rows = [row.split("<td")[1:] for row in table.split("<tr>")[2:]]
    return [tuple(" ".join(TAGS.sub("", "<" + cell).split()) for cell in row) for row in rows]
