"""report"""


def add_arguments(parser):
    pass


def main(arguments):
    return 0
