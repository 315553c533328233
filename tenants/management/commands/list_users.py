from tenants.management.printing import ListingCommand
from tenants.models import User


class Command(ListingCommand):
    help = "Lists the users: guid, whether they are active, role, company, email."
    name = "users"
    rows = User.objects.order_by("email").values("guid", "is_active", "role", "company_guid", "email")
