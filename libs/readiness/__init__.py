"""Who a caller is and how ready a service is: the two small services that every server has."""

from libs.readiness.servicers import IdentityServicer, ReadinessServicer
from libs.readiness.services import shared_services

__all__ = ["IdentityServicer", "ReadinessServicer", "shared_services"]
