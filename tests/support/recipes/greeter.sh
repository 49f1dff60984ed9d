# A Python module as pip would have installed it; the channel has no pip.
metadata="$SP_DIR/greeter-$PKG_VERSION.dist-info"
mkdir -p "$metadata"
cat > "$SP_DIR/greeter.py" <<MODULE
VERSION = "$PKG_VERSION"


def main():
    print("hello from greeter", VERSION)
MODULE
printf 'Metadata-Version: 2.1\nName: greeter\nVersion: %s\n' "$PKG_VERSION" > "$metadata/METADATA"
printf 'Wheel-Version: 1.0\nGenerator: test-channel\nRoot-Is-Purelib: true\nTag: py3-none-any\n' > "$metadata/WHEEL"
printf '[console_scripts]\ngreet = greeter:main\n' > "$metadata/entry_points.txt"
echo greeter > "$metadata/top_level.txt"
echo conda > "$metadata/INSTALLER"
(cd "$SP_DIR" && for file in greeter.py "${metadata##*/}"/*; do echo "$file,,"; done) > "$metadata/RECORD"
