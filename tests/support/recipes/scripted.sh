# Activation scripts that do what real ones do: name data below the prefix, a Java, and write into the prefix.
scripts="$PREFIX/etc/conda/activate.d"
mkdir -p "$scripts" "$PREFIX/share/maps" "$PREFIX/share/wrappers/replace-me"
echo map > "$PREFIX/share/maps/map.txt"
echo wrapper > "$PREFIX/share/wrappers/replace-me/wrapper.py"

cat > "$scripts/maps-activate.sh" <<'SCRIPT'
#!/bin/bash
if [[ -n "$MAPS_DATA" ]]; then
    export _CONDA_SET_MAPS_DATA=$MAPS_DATA
fi
if [ -d $CONDA_PREFIX/share/maps ]; then
    export MAPS_DATA=$CONDA_PREFIX/share/maps
    export MAPS_DRIVERS=$CONDA_PREFIX/lib/drivers
elif [ -d $CONDA_PREFIX/Library/share/maps ]; then
    export MAPS_DATA=$CONDA_PREFIX/Library/share/maps
fi
if [[ ! -d "$MAPS_DRIVERS" ]]; then
    unset MAPS_DRIVERS
fi
export MAPS_ENCODING=UTF-8
SCRIPT

cat > "$scripts/jvm-activate.sh" <<'SCRIPT'
export JAVA_HOME_CONDA_BACKUP=${JAVA_HOME:-}
export JAVA_HOME=$CONDA_PREFIX/lib/jvm
SCRIPT

cat > "$scripts/wrappers-activate.sh" <<'SCRIPT'
home="$CONDA_PREFIX/share/wrappers"
mkdir -p "$home/$CONDA_PREFIX" || true
if [ ! -w "$home/$CONDA_PREFIX" ]; then
    return
fi
for wrapper in "$home/replace-me/"*.py; do
    ln -s "$wrapper" "$home/$CONDA_PREFIX/$(basename "$wrapper")"
done
SCRIPT
