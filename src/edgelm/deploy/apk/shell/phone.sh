fail() {
  printf '%s\n' "$@" >&2
  exit 2
}

on_phone() {
  adb shell "$1" < /dev/null | tr -d '\r'
}

# do_on_phone COMMANDS: they must end well. The phone says so itself: not every adb hands on how they ended.
do_on_phone() {
  said="$(on_phone "{ $1; } 2>&1 && echo all is done")"
  case "$said" in
    *'all is done') ;;
    *) fail "the phone did not do this: $1" "${said:-it said nothing; check the cable, then run this again}" ;;
  esac
}
