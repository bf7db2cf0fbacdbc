"""Generates the contract's code and data, and checks that they are linted, fresh and unbroken."""
