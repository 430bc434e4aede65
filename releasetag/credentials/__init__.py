"""Registry credentials, found and stored as the docker command line does."""

from releasetag.credentials.encodings import Credentials
from releasetag.credentials.store import CredentialStore

__all__ = ["CredentialStore", "Credentials"]
