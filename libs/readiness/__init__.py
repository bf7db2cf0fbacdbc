"""The identity and readiness services, which every server has."""

from libs.readiness.servicers import IdentityServicer, ReadinessServicer
from libs.readiness.services import shared_services

__all__ = ["IdentityServicer", "ReadinessServicer", "shared_services"]
