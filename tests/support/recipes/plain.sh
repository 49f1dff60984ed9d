# A package that has one file, named after itself.
mkdir -p "$PREFIX/share"
echo "$PKG_VERSION" > "$PREFIX/share/$PKG_NAME.txt"
