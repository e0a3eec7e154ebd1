"""Repairs of a bicycle workshop in, features out."""

import csv
import sys

import yaml

SOURCE, TARGET = sys.argv[1], sys.argv[2]
KEPT = yaml.safe_load(open("params.yaml"))["featurize"]["columns"]

with open(SOURCE, newline="") as source, open(TARGET, "w", newline="") as target:
    writer = csv.writer(target)
    writer.writerow([*KEPT, "discount", "km_a_year", "came_back"])
    for row in csv.DictReader(source):
        discount = 1 - float(row["paid"]) / float(row["list_price"])
        km_a_year = float(row["km"]) / float(row["bought_years_ago"])
        writer.writerow([*(row[name] for name in KEPT), f"{discount:.3f}", f"{km_a_year:.0f}", row["came_back"]])
