from tenants.management.printing import ListingCommand
from tenants.models import Company


class Command(ListingCommand):
    help = "Lists the companies: guid, whether it is active, when it was made, name."
    name = "companies"
    rows = Company.objects.order_by("created_at", "guid").values("guid", "is_active", "created_at", "name")
