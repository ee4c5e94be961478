"""The folder of a home: paths, locks, staging and files on disk."""
