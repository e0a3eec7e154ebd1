import json
import pickle

import pandas
import yaml
from sklearn.metrics import accuracy_score, f1_score

params = yaml.safe_load(open("params.yaml"))
rows = pandas.read_csv("data/features.csv").sample(frac=1, random_state=params["seed"])
test = rows[int(len(rows) * (1 - params["fit"]["held_back"])) :]

forest = pickle.load(open("model.pkl", "rb"))
found = forest.predict(test.drop(columns="came_back").to_numpy())
scores = f1_score(test["came_back"], found, average=None, labels=forest.classes_)
metrics = {
    "rows": len(test),
    "holdout": {
        "accuracy": accuracy_score(test["came_back"], found),
        "f1": dict(zip(forest.classes_.tolist(), scores.tolist(), strict=True)),
    },
}
json.dump(metrics, open("metrics.json", "w"), indent=2)
