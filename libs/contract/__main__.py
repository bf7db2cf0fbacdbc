"""`python -m libs.contract`: checks the contract's options."""

import sys

from libs.contract.check import problems
from libs.contract.methods import all_methods


def main() -> None:
    """Exit with a message that names each option that is missing or wrong."""
    found = problems(method.descriptor for method in all_methods())
    if found:
        sys.exit("the contract's REST options are wrong:\n  " + "\n  ".join(found))


if __name__ == "__main__":
    main()
