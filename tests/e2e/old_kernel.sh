# What Linux 6.1 lacks is switched off: PAGEMAP_SCAN. (PROCMAP_QUERY and statmount are not used at all.)
export FLOE_NO_PAGEMAP_SCAN=1
mkdir memory union
(cd memory && set -- memory && . "$dir/resource.sh")
cd union && . "$dir/overlay.sh"
