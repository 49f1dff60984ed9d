# A file that another package has too, with another content.
mkdir -p "$PREFIX/etc"
echo "$PKG_NAME" > "$PREFIX/etc/clobbered.txt"
