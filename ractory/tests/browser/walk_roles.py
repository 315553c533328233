"""Each role at the desk, wide and on a phone: it logs in, sees what it may, and is told in words what it may not."""

import pytest
from django.contrib.auth.hashers import make_password
from selenium.webdriver.common.by import By

from ractory.tests.browser.desk import PHONE, WIDE, Desk
from ractory.tests.browser.works import EMAIL, PASSWORD, ROOT, Works
from tenants.caller import Role
from tenants.models import ApiKey, User

OF_ALL = ["Home", "Projects", "Components", "Assemblies", "Pieces", "Sync runs"]
ALSO = {
    Role.SYSTEM_ADMIN: {"Trash", "Upload", "API keys", "Users", "Companies"},
    Role.COMPANY_ADMIN: {"Trash", "Upload", "API keys", "Users", "Companies"},
    Role.PROJECT_MANAGER: {"Trash"},
    Role.INTEGRATION: set(),
    Role.OPERATOR: set(),
}
BUTTONS = {  # of a piece's page
    Role.SYSTEM_ADMIN: {"Edit", "Delete …"},
    Role.COMPANY_ADMIN: {"Edit", "Delete …"},
    Role.PROJECT_MANAGER: {"Delete …"},
    Role.INTEGRATION: set(),
    Role.OPERATOR: set(),
}
REFUSED = {  # a page, and who may
    Role.SYSTEM_ADMIN: ("pieces/piece/add/", "Nobody may do this here"),
    Role.COMPANY_ADMIN: ("tenants/company/add/", "This takes another one: System Admin."),
    Role.PROJECT_MANAGER: ("tenants/user/", "This takes another one: System Admin or Company Admin."),
    Role.INTEGRATION: ("pieces/piece/{piece}/edit/", "This takes another one: System Admin or Company Admin."),
    Role.OPERATOR: ("pieces/deletion/", "This takes another one: System Admin or Company Admin or Project Manager."),
}
OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


def texts(desk: Desk, css: str) -> list[str]:
    found = desk.driver.find_elements(By.CSS_SELECTOR, css)
    return [" ".join((each.get_attribute("textContent") or "").split()) for each in found]


@pytest.mark.parametrize("role", Role)
def test_a_role_sees_what_it_may_and_is_told_what_not(desk: Desk, works: Works, role: Role) -> None:
    email = {Role.SYSTEM_ADMIN: ROOT, Role.COMPANY_ADMIN: EMAIL}.get(role, "new@huber.example")
    if email not in (ROOT, EMAIL):
        User.objects.create(email=email, role=role, company=works.company, password=make_password(PASSWORD))
    piece = f"/admin/pieces/piece/{works.piece.guid}/change/"
    path, said = REFUSED[role]
    desk.window(*WIDE)
    desk.log_in(email, PASSWORD)
    for size in (WIDE, PHONE):
        desk.window(*size)
        desk.go("/admin/")
        listed = texts(desk, "#nav-sidebar-apps li a > span:nth-of-type(2)")
        assert set(listed) == {*OF_ALL, *ALSO[role]}
        assert bool(desk.driver.find_elements(By.ID, "trash")) == ("Trash" in ALSO[role])
        assert desk.driver.execute_script(OVERFLOW) <= 0
        desk.go(piece)
        assert set(texts(desk, ".page-head .buttons a")) >= BUTTONS[role]
        assert not {"Edit", "Delete …"} - BUTTONS[role] & set(texts(desk, ".page-head .buttons a"))
        assert ("Other Windows" in desk.driver.page_source) == (role == Role.SYSTEM_ADMIN)  # whom the picker names
        desk.go("/admin/" + path.format(piece=works.piece.guid))
        assert said in desk.text("#refusal")
        assert desk.driver.execute_script(OVERFLOW) <= 0
        desk.press(".panel a[href='/admin/']")
        assert desk.driver.current_url.endswith("/admin/")
    desk.scan("400000000003")  # the box is ready for all of them
    assert "/piece/" in desk.driver.current_url or role == Role.SYSTEM_ADMIN


def test_who_is_logged_out_meanwhile_comes_back_to_the_form(desk: Desk, works: Works) -> None:
    desk.window(*WIDE)
    desk.log_in(EMAIL, PASSWORD)
    edit = f"/admin/pieces/piece/{works.piece.guid}/edit/"
    desk.go(edit)
    desk.driver.delete_cookie("sessionid")
    desk.press(".sticky .primary")
    desk.fill("username", EMAIL)
    desk.fill("password", PASSWORD)
    desk.press("#login-form button[type=submit]")
    assert desk.driver.current_url.endswith(edit)
    desk.driver.delete_cookie("csrftoken")  # as after a login in another tab
    desk.press(".sticky .primary")
    assert "This form was opened before you last logged in" in desk.text("#refusal")
    desk.follow("Open it again")
    assert desk.driver.current_url.endswith(edit)
    desk.faults()  # the 403 is one, to the console


def test_f5_makes_no_second_key_and_a_revoked_one_says_so(desk: Desk, works: Works) -> None:
    desk.window(*PHONE)
    desk.log_in(EMAIL, PASSWORD)
    desk.go("/admin/tenants/apikey/add/")
    desk.fill("description", "Saw 2")
    desk.press("form .primary")
    made = ApiKey.objects.filter(company=works.company).count()
    desk.driver.refresh()  # driven, the browser does not ask whether the form is to be sent again
    assert "No second key was made" in desk.text("#made")
    assert ApiKey.objects.filter(company=works.company).count() == made
    desk.follow("To the key Saw 2")
    page = desk.driver.current_url.removeprefix(desk.url).removesuffix("change/")
    desk.go(f"{page}revoke/")
    desk.press("#content form .danger")
    desk.go(f"{page}rotate/")
    assert "The key Saw 2 has been revoked" in desk.text("#refusal")
    desk.press(".panel a[href='/admin/tenants/apikey/']")


def test_an_admin_sets_another_s_password(desk: Desk, works: Works) -> None:
    user = User.objects.create(email="line@huber.example", role=Role.OPERATOR, company=works.company)
    desk.window(*WIDE)
    desk.log_in(EMAIL, PASSWORD)
    desk.go(f"/admin/tenants/user/{user.guid}/change/")
    desk.press("#set-password")
    for name in ("password1", "password2"):
        desk.fill(name, "a horse in the battery")
    desk.press("form[id=user_form] button[type=submit]")
    desk.driver.delete_all_cookies()
    desk.log_in("line@huber.example", "a horse in the battery")
    assert "Fenster Huber" in desk.text(".finder")


def test_switching_the_company_stays_on_the_page(desk: Desk, works: Works) -> None:
    desk.window(*PHONE)
    desk.log_in(ROOT, PASSWORD)
    desk.go("/admin/sync/syncrun/")
    desk.choose("company", "Other Windows")
    assert desk.driver.current_url.endswith("/admin/sync/syncrun/")
    desk.go(f"/admin/pieces/piece/{works.foreign.guid}/change/")
    desk.choose("company", "Fenster Huber")
    assert desk.driver.current_url.endswith("/admin/pieces/piece/")
    assert "Fenster Huber" in desk.text("#picker")
