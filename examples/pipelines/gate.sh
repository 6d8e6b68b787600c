#!/usr/bin/env bash
# Ship only on proof: bash gate.sh RUN ARM
set -u
code=0
quantrial gate "$1" --arm "$2" --non-inferior 2pp || code=$?
case "$code" in
  0) echo "ship $2" ;;
  1) echo "keep the reference: $2 loses too much" ;;
  3) echo "keep the reference: too few items to say" ;;
  4) echo "the run shows nothing; look at its report" ;;
  *) echo "wrong use" ;;
esac
exit "$code"
