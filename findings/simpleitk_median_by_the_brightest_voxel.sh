#!/usr/bin/env bash
# The median of a lesion is a number of its own voxels, so metal elsewhere in the scan is no matter to it. SimpleITK's
# LabelIntensityStatisticsImageFilter looks for the median in a histogram of 128 bins, which it lays from the least voxel of the whole picture
# to its greatest, also of whole numbers of 16 bits. Of a CT from -1,000 to 3,071 (air and enamel) bins are 32 wide: 8,000 voxels with a
# median of 40 have 33.7, and so has each tissue between 18 and 49, so that fresh blood and muscle are equal. Brighten one voxel in a corner
# to 30,000, as metal is in scans of an extended scale, and it is 89.8, above the greatest of the 8,000 that it is to lie in the
# middle of; its minimum, maximum, mean and deviation beside it are right. LabelStatisticsImageFilter has 256 bins: 41.6 and 29.3. Scans in
# steps of 32 so have groups of patients that differ or do not by where bins happen to end. Nothing is said; a note at SetNumberOfBins
# says that it "may have an effect on the value of the median". SetNumberOfBins(100000) is right to 0.2. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q simpleitk==2.5.7 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import SimpleITK

print(f"SimpleITK {SimpleITK.Version.VersionString()}, numpy {np.__version__}")
SHAPE, LESION = (40, 64, 64), (slice(15, 35), slice(20, 40), slice(20, 40))
generator = np.random.default_rng(0)
labels = np.zeros(SHAPE, np.uint8)
labels[LESION] = 1
body = np.full(SHAPE, -1000.0)
body[:, 10:54, 10:54] = generator.normal(40, 12, (40, 44, 44))


def medians(scan: np.ndarray) -> dict[str, float]:
    """The lesion's median by numpy, by both filters, and by the first of them with many bins"""
    picture, mask = SimpleITK.GetImageFromArray(scan), SimpleITK.GetImageFromArray(labels)
    found = {"numpy": float(np.median(scan[LESION]))}
    for name, bins in (("LabelIntensityStatistics", None), ("100,000 bins", 100_000)):
        intensity = SimpleITK.LabelIntensityStatisticsImageFilter()
        if bins:
            intensity.SetNumberOfBins(bins)
        intensity.Execute(mask, picture)
        assert abs(intensity.GetMean(1) - scan[LESION].mean()) < 1e-3 and intensity.GetMaximum(1) == scan[LESION].max()
        found[name] = intensity.GetMedian(1)
    statistics = SimpleITK.LabelStatisticsImageFilter()
    statistics.Execute(picture, mask)
    return found | {"LabelStatistics": statistics.GetMedian(1), "maximum": float(scan[LESION].max())}


seen = {}
for kind in (np.int16, np.float32):
    for brightest in (300, 3071, 30_000):
        scan = np.rint(body).astype(kind)
        scan[0, 0, 0] = brightest
        seen[kind.__name__, brightest] = found = medians(scan)
        print(f"{kind.__name__}, brightest voxel {brightest}: " + ", ".join(f"{name} {value:.2f}" for name, value in found.items()))
tissues = {}
for mean in range(15, 56, 5):  # the lesion's own voxels are moved, its surroundings and the brightest voxel stay
    scan = np.rint(body).astype(np.int16)
    scan[LESION] += mean - 40
    scan[0, 0, 0] = 3071
    tissues[mean] = medians(scan)
print("brightest voxel 3071, medians by numpy and by LabelIntensityStatistics: "
      + ", ".join(f"{found['numpy']:.0f} {found['LabelIntensityStatistics']:.2f}" for found in tissues.values()))
sys.exit(0 if all(found["numpy"] == 40 and abs(found["100,000 bins"] - 40) < 0.5 for found in seen.values())
         and all(abs(seen[kind, 3071]["LabelIntensityStatistics"] - 40) > 5 and abs(seen[kind, 30_000]["LabelStatistics"] - 40) > 8
                 and seen[kind, 30_000]["LabelIntensityStatistics"] > seen[kind, 30_000]["maximum"] for kind in ("int16", "float32"))
         and len({tissues[mean]["LabelIntensityStatistics"] for mean in (20, 25, 30, 35, 40, 45)}) == 1 else 1)
PYTHON
