#!/bin/sh
# Install the app and its weights on a phone. What is there already, by its digest, is not sent again.
# ANDROID_SERIAL names the phone where there are several.
set -eu
cd "$(dirname "$0")"

package=@PACKAGE@
activity=@ACTIVITY@
apk_sha256=@APK_SHA256@
model_sha256=@MODEL_SHA256@
model_size=@MODEL_SIZE@
folder="/sdcard/Android/data/$package/files"

@PHONE@

open_app() {
  do_on_phone "am start -n $package/$activity"
  case "$said" in
    *Error:*) fail "the app could not be opened" "$said" ;;
  esac
}

sha256_on_phone() {
  on_phone "sha256sum '$1' 2>/dev/null" | cut -c1-64
}

command -v adb > /dev/null || fail "adb is not installed" "on Debian: sudo apt-get install adb"
state="$(adb get-state 2>&1)" || fail "no phone is reached: $state" \
  "connect it, switch on USB debugging, and say yes on its screen; with several, set ANDROID_SERIAL"
case "$(on_phone 'getprop ro.product.cpu.abilist')" in
  *arm64-v8a*) ;;
  *) fail "this phone is not arm64-v8a" "the app runs on 64-bit Arm phones alone" ;;
esac
level="$(on_phone 'getprop ro.build.version.sdk')"
[ "${level:-0}" -ge 26 ] || fail "this phone has Android API $level" "the app needs 26 (Android 8) or later"

installed="$(on_phone "pm path $package" | sed -n '1s/^package://p')"
if [ -n "$installed" ] && [ "$(sha256_on_phone "$installed")" = "$apk_sha256" ]; then
  echo "the app is installed"
else
  echo "installing the app"
  if ! said="$(adb install -r edgelm.apk < /dev/null 2>&1)"; then
    case "$said" in
      *UPDATE_INCOMPATIBLE*) fail "another key signed the app that is there" "remove it, with its weights: adb uninstall $package; then run this again" ;;
      *INSUFFICIENT_STORAGE*) fail "the phone's storage is full" "free some space on it, then run this again" ;;
      *) fail "the app could not be installed" "$said" ;;
    esac
  fi
fi

# The app makes its folder itself: what adb makes there, Android may not let the app read.
open_app
waited=0
until [ "$(on_phone "ls -d $folder 2>/dev/null")" = "$folder" ]; do
  [ "$waited" -lt 30 ] || fail "the app did not make its folder $folder" "unlock the phone, open the app once, then run this again"
  waited=$((waited + 1))
  sleep "${EDGELM_WAIT:-1}"
done

if [ "$(on_phone "stat -c %s $folder/model.gguf 2>/dev/null")" = "$model_size" ] &&
  [ "$(sha256_on_phone "$folder/model.gguf")" = "$model_sha256" ]; then
  echo "the weights are there"
else
  do_on_phone "am force-stop $package; rm -f $folder/model.gguf $folder/model.gguf.partial"
  free="$(on_phone "df -k /sdcard" | awk 'END { print $4 }')"
  case "$free" in
    '' | *[!0-9]*) ;;
    *) [ "$free" -gt "$((model_size / 1024))" ] || fail "the phone has $free KB free, the weights need $((model_size / 1024)) KB" "free some space on it" ;;
  esac
  echo "sending the weights ($((model_size / 1000000)) MB)"
  adb push model.gguf "$folder/model.gguf.partial" < /dev/null || {
    on_phone "rm -f $folder/model.gguf.partial" || true
    fail "the weights could not be pushed" "check cable and storage, then run this again"
  }
  if [ "$(sha256_on_phone "$folder/model.gguf.partial")" != "$model_sha256" ]; then
    on_phone "rm -f $folder/model.gguf.partial"
    fail "the weights did not arrive whole" "run this again"
  fi
  do_on_phone "chmod 0664 $folder/model.gguf.partial 2>/dev/null; mv $folder/model.gguf.partial $folder/model.gguf || { rm -f $folder/model.gguf.partial; false; }"
  open_app
fi
echo "ready: the app is open on the phone"
