# dbus-daemon with two clients, each in the middle of its connection over a UNIX socket: both go on to hear what is said on the bus,
# under the names that they had, and the daemon still knows who they are.
for program in dbus-daemon dbus-monitor dbus-send gdbus; do
    if ! command -v $program > where; then echo "SKIPPED there is no $program"; exit 0; fi
done
chmod 755 "$PWD" && mkdir bus.d && chown 1000:1000 bus.d && cd bus.d
# Root's daemon would have a socket of the audit system, which cannot be captured.
user=(setpriv --reuid 1000 --regid 1000 --clear-groups)
cat > session.conf << END
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=$PWD/bus</listen>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
END
export DBUS_SESSION_BUS_ADDRESS=unix:path=$PWD/bus
cat > bus.sh << 'END'
dbus-daemon --config-file=session.conf --nofork --nopidfile --nosyslog &
until [[ -S bus ]]; do sleep 0.05; done
dbus-monitor --address "$DBUS_SESSION_BUS_ADDRESS" "type='signal',interface='org.floe.Test'" > monitor 2>&1 &
gdbus monitor --address "$DBUS_SESSION_BUS_ADDRESS" --dest org.freedesktop.DBus > watch 2>&1 &
wait
END
start log "${user[@]}" bash bus.sh
say() { "${user[@]}" dbus-send --bus="$DBUS_SESSION_BUS_ADDRESS" --type=signal /org/floe "org.floe.Test.$1" "string:$1"; }
ask() { "${user[@]}" dbus-send --bus="$DBUS_SESSION_BUS_ADDRESS" --print-reply=literal --dest=org.freedesktop.DBus /org/freedesktop/DBus "$@"; }
hears() { say "$1" && grep -q "\"$1\"" monitor; }
watches() { say Anything && grep -q NameOwnerChanged watch; }
until_true 20 hears Before || fail "$(cat log monitor)"
until_true 20 watches || fail "$(cat log watch)"
heard() { (($(wc -l < watch) > seen)); }
names() { ask org.freedesktop.DBus.ListNames | tr -s ' []' '\n' | grep '^:' | sort | head -n 2; }
first=$(names)
for round in 1 2; do
    checkpoint_kill "$pid" "../image$round"
    restore_detached "../image$round"
    seen=$(wc -l < watch)
    until_true 20 hears "After$round" || fail "dbus-monitor hears nothing: $(cat log monitor)"
    until_true 20 heard || fail "gdbus hears nothing: $(cat watch)"
done
[[ $(names | head -n 1) == "$(head -n 1 <<< "$first")" ]] || fail "the names differ: $first, $(names)"
end_group "$pid"
