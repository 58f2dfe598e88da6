#!/bin/sh
# root.sh BINARY FOLDER   makes FOLDER the root of an image: the binary, the libraries it needs, and what looks up names.
set -eu
binary=${1:?} root=${2:?}
mkdir -p "$root/etc" "$root/tmp" "$root/var/lib/drave"
chmod 1777 "$root/tmp"
cp "$binary" "$root/drave"
copy() { mkdir -p "$root$(dirname "$1")" && cp -L "$1" "$root$1"; }
ldd "$binary" | awk '/=> \//{print $3} /^[[:space:]]*\/.*ld-/{print $1}' | while read -r library; do copy "$library"; done
for library in /lib/*-linux-gnu/libnss_files.so.2 /lib/*-linux-gnu/libnss_dns.so.2 /lib/*-linux-gnu/libresolv.so.2; do
  [ ! -e "$library" ] || copy "$library"
done
echo "hosts: files dns" >"$root/etc/nsswitch.conf"
echo "drave:x:1000:1000::/var/lib/drave:/sbin/nologin" >"$root/etc/passwd"
