from setuptools import find_namespace_packages, setup

setup(packages=[f"vflow.{name}" for name in find_namespace_packages(include=["engine*", "nodes*", "graphs*", "tui*"])])
