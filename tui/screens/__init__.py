"""The screens of the application that are not a view of their own."""
