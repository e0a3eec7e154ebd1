"""The model, apart from the script that fits it."""

from sklearn.ensemble import RandomForestClassifier


def make_forest(trees=50, depth=None, seed=0):
    return RandomForestClassifier(n_estimators=trees, max_depth=depth, random_state=seed)
