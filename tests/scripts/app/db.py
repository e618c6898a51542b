"""A module of an application, as people write them."""


class Pool:
    def __init__(self, connect):
        self.connect = connect
        self.kept = []

    def get_conn(self):
        self.kept.append(self.connect("dbname=shop"))
        return self.kept[-1]

    def two(self):
        one = self.connect("dbname=shop")
        other = self.connect("dbname=shop")
        return one, other
