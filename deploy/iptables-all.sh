#!/bin/sh
# mpgate attach --hook forward --mode all --queue 0 --backend iptables --print
# Out with it: mpgate detach
set -e

for family in iptables ip6tables; do
  while $family -w 5 -t mangle -D FORWARD -p tcp -j MPGATE_ASK 2>/dev/null; do :; done
  $family-restore --noflush -w 5 <<'RULES'
*mangle
:MPGATE_ASK - [0:0]
-A MPGATE_ASK -m mark --mark 0x20000000/0x60000000 -j RETURN
-A MPGATE_ASK -j NFQUEUE --queue-num 0 --queue-bypass
-A FORWARD -p tcp -j MPGATE_ASK
COMMIT
RULES
done
