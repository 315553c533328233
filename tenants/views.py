"""Who am I: login, refresh, me (contract, "Auth"); and what every tenant's endpoint does first."""

from typing import Any, ClassVar, cast

from django.contrib.auth import authenticate
from django.http import QueryDict
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, NotFound, PermissionDenied
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ractory.api.body import read_fields
from ractory.api.errors import Unprocessable
from ractory.api.openapi import answer
from ractory.api.query import Query
from tenants.authentication import CHALLENGE, begin, renew
from tenants.caller import Caller, Role
from tenants.logins import Attempt
from tenants.models import Company, User
from tenants.scope import Scope, enter, every_company


def caller_of(request: Request) -> Caller:
    """Who calls; for views whose permission classes let nobody else in."""
    return cast(Caller, request.user)


class TenantView(APIView):
    """An endpoint on a tenant's data. Once credentials, permission and query are known it enters the scope: the
    caller's own company, or for a SystemAdmin every one, or the one that the query names. Raises 403 for a foreign
    one, 404 for one that does not exist."""

    lookup_field = "guid"  # where it is a viewset
    lookup_value_converter = "str"  # a malformed guid is a 404 of ours, after 401 and 403
    query_class: ClassVar[type[Query]] = Query
    list_query: ClassVar[type[Query]] = Query  # of a viewset's list
    checks_query: ClassVar[bool] = True  # or else the view reports faults of the query with those of the body
    query: Any  # an instance of one of these, the parameters of this request

    def check_permissions(self, request: Request) -> None:
        """Counts the request first: DRF asks for permission before, so refusals could be had without limit."""
        super().check_throttles(request)
        super().check_permissions(request)

    def check_throttles(self, request: Request) -> None:
        """Done already, in `check_permissions`, which DRF calls just before."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method not in self.allowed_methods:  # whose query nobody knows
            self.http_method_not_allowed(request)
        self.query = self.new_query(request.query_params)
        if (faults := self.query.faults()) and self.checks_query:
            raise Unprocessable(faults)
        # None, too, if what is sent is no UUID, which is among the faults.
        scope, named = Scope(caller_of(request).company), self.query.cleaned_data.get("company_guid")
        if named is not None:
            if not scope.covers(named):
                raise PermissionDenied(f"Company {named} is not yours.")
            with every_company():
                if scope.company is None and not Company.objects.filter(guid=named).exists():
                    raise NotFound(f"Company {named} not found.")
            scope = Scope(named)
        enter(scope)

    def new_query(self, data: QueryDict) -> Query:
        """The form with these parameters; for views whose forms need to know more."""
        return (self.list_query if getattr(self, "action", None) == "list" else self.query_class)(data)


class _PublicView(APIView):
    authentication_classes = permission_classes = ()

    def get_authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class CredentialsSerializer(serializers.Serializer[Any]):
    email = serializers.CharField(max_length=254)
    password = serializers.CharField(max_length=1024, trim_whitespace=False)


class RefreshSerializer(serializers.Serializer[Any]):
    refresh_token = serializers.CharField(max_length=4096)


class TokensSerializer(serializers.Serializer[Any]):
    access_token = serializers.CharField()
    refresh_token = serializers.CharField()
    role = serializers.ChoiceField(Role.choices)
    expires_in = serializers.IntegerField(help_text="Seconds that the access token is good for.")


class MeSerializer(serializers.Serializer[Any]):
    guid = serializers.UUIDField()
    email = serializers.EmailField(allow_null=True, help_text="null for a key.")
    role = serializers.ChoiceField(Role.choices)
    company_guid = serializers.UUIDField(allow_null=True, help_text="null for a SystemAdmin.")
    auth_type = serializers.ChoiceField(["jwt", "api_key"])
    scopes = serializers.CharField(required=False, help_text="Of a key, separated by spaces.")


class LoginView(_PublicView):
    @extend_schema(
        operation_id="login",
        summary="Log in",
        description="Email and password for a pair of tokens.",
        request=CredentialsSerializer,
        responses={200: answer("The tokens.", TokensSerializer)},
    )
    @every_company()  # nobody knows yet whose user it is
    def post(self, request: Request) -> Response:
        user = authenticate(request._request, **read_fields(request, CredentialsSerializer))
        if not isinstance(user, User):
            raise AuthenticationFailed("Wrong email or password.")
        if user.tenant is not None and user.tenant.moved_to:  # while it is being moved one may log in, and read
            user.tenant.check_place(request._request)
        return Response(begin(user))


class RefreshView(_PublicView):
    @extend_schema(
        operation_id="refresh",
        summary="Get new tokens",
        description="A refresh token, which is used up, for a new pair. If it comes again later, the login ends.",
        request=RefreshSerializer,
        responses={200: answer("The tokens.", TokensSerializer)},
    )
    def post(self, request: Request) -> Response:
        given = read_fields(request, RefreshSerializer)
        attempt = Attempt(request._request)
        tokens = renew(given["refresh_token"])
        attempt.succeeded()
        return Response(tokens)


class MeView(APIView):
    permission_classes = (IsAuthenticated,)

    @extend_schema(
        operation_id="me",
        summary="Who am I?",
        description="Whose credentials these are.",
        responses={200: answer("The caller.", MeSerializer)},
    )
    def get(self, request: Request) -> Response:
        caller = caller_of(request)
        me = {"guid": caller.guid, "email": caller.email, "role": caller.role, "company_guid": caller.company}
        by = {"auth_type": "api_key", "scopes": caller.scopes} if caller.scopes else {"auth_type": "jwt"}
        return Response(me | by)
