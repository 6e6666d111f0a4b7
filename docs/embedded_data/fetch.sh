#!/bin/bash
# Fetches and unpacks the works that the embedded sets are derived from: Debian packages and npm packages, about 1.7 GB to
# download, 4 GB on disk, into $EMBEDDED_BUILD (default: ./work). Installs nothing system-wide.
set -euo pipefail
root=${EMBEDDED_BUILD:-$PWD/work}
mkdir -p "$root"/{deb,x,oad,fur,npm,video}
cd "$root"

unpack() { # unpack PACKAGE[=VERSION] FOLDER: download the Debian package once, unpack it once
    local name=${1%%=*}
    [ -d "$2/$name" ] && return
    compgen -G "deb/${name}_*.deb" >/dev/null || (cd deb && apt-get download "$1")
    dpkg-deb -x deb/"${name}"_*.deb "$2/$name"
}

for package in 0ad-data=0.0.26-1 flare-game fluid-soundfont-gm sweethome3d-furniture; do unpack $package x; done
for package in wesnoth-1.16-data widelands-data flare-game freedroidrpg-data 7kaa-data; do unpack $package video; done

(cd oad && unzip -qo ../x/0ad-data/usr/share/games/0ad/mods/public/public.zip 'art/meshes/*' 'art/animation/*' \
    'art/skeletons/*' 'art/actors/*' 'art/variants/*' 'audio/*' -x '*.xmb')

for library in x/sweethome3d-furniture/usr/share/sweethome3d/furniture/*.sh3f; do
    folder=fur/$(basename "$library" .sh3f)
    mkdir -p "$folder"
    unzip -qo "$library" -d "$folder"
done

(cd npm && npm init -y >/dev/null && npm install --ignore-scripts --no-audit --no-fund \
    emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0 emojibase-data@17.0.0 openmoji@17.0.0 \
    @lobehub/fluent-emoji-3d@1.1.0 @iconify-json/emojione@1.2.3 @iconify-json/noto-v1@1.2.5 @iconify-json/noto@1.2.9)
