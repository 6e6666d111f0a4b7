#!/usr/bin/env bash
# SMOTE makes a new sample of a rare class on the line between two that are there, so each new value lies between two of its feature.
# Pictures are uint8, and imbalanced-learn keeps the type and takes the difference of the two in it: from 100 to 96 is 252, and new values
# between the two are 251, 98, 97 and 6. Of pictures of an 8 (8 by 8 pixels, steps of 15 greys) every tenth pixel of the new ones is
# darker or brighter than it is in any that they are made of, while their mean is 81 in place of 80, which tells nobody. Nearest
# neighbours trained on them are right in 93 % where they were in 98 %. BorderlineSMOTE and ADASYN are alike. int16 and float64 are right,
# and so are the neighbours that it picks in uint8. Nothing is said. X.astype(float) before cures it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q imbalanced-learn==0.14.2 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import imblearn
import numpy as np
import sklearn
from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE
from sklearn.datasets import load_digits
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

print(f"imbalanced-learn {imblearn.__version__}, scikit-learn {sklearn.__version__}, numpy {np.__version__}")
pair, labels = np.array([[100, 0], [96, 0]] + [[0, 200]] * 6, np.uint8), np.array([1, 1] + [0] * 6)
made = {dtype: SMOTE(k_neighbors=1, random_state=0).fit_resample(pair.astype(dtype), labels)[0][8:, 0] for dtype in ("u1", "i2", "f8")}
print("new values between 100 and 96: " + ", ".join(f"{np.dtype(dtype)} {values.round(1).tolist()}" for dtype, values in made.items()))
pictures, digits = load_digits(return_X_y=True)
chosen = np.isin(digits, (3, 8))
pictures, digits = pictures[chosen] * 15, digits[chosen]
train = np.arange(len(digits)) % 2 == 0
few = train.copy()
few[np.flatnonzero(train & (digits == 8))[15:]] = False
eights = pictures[few & (digits == 8)]
outside, scores = {}, {}
for kind in (SMOTE, BorderlineSMOTE, ADASYN):
    for dtype in (np.uint8, np.int16, np.float64):
        mixed, answers = kind(random_state=0).fit_resample(pictures[few].astype(dtype), digits[few])
        new = mixed[few.sum():].astype(float)
        key = kind.__name__, np.dtype(dtype).name
        outside[key] = float(((new < eights.min(axis=0) - 1) | (new > eights.max(axis=0) + 1)).mean())
        model = KNeighborsClassifier().fit(mixed.astype(float), answers)
        scores[key] = float(balanced_accuracy_score(digits[~train], model.predict(pictures[~train])))
        print(f"{key[0]} of {key[1]}: {len(new)} new pictures of 8 from {len(eights)}; {outside[key]:.1%} of their pixels are outside of "
              f"all {len(eights)}; mean {new.mean():.1f} ({eights.mean():.1f}); nearest neighbours right in {scores[key]:.1%}")
sys.exit(0 if made["u1"].max() > 100 and all(96 <= values.min() and values.max() <= 100 for values in (made["i2"], made["f8"]))
         and all(outside[name, "uint8"] > 0.02 and outside[name, kind] == 0 and scores[name, "uint8"] < scores[name, kind] - 0.02
                 for name in ("SMOTE", "BorderlineSMOTE", "ADASYN") for kind in ("int16", "float64")) else 1)
PYTHON
