import pickle

import pandas
import yaml

from model import make_forest

params = yaml.safe_load(open("params.yaml"))
rows = pandas.read_csv("data/features.csv").sample(frac=1, random_state=params["seed"])
train = rows[: int(len(rows) * (1 - params["fit"]["held_back"]))]

forest = make_forest(params["fit"]["trees"], params["fit"]["depth"], params["seed"])
forest.fit(train.drop(columns="came_back").to_numpy(), train["came_back"])
with open("model.pkl", "wb") as file:
    pickle.dump(forest, file)
