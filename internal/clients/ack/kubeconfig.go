package ack

import "time"

// KubeconfigTTL is the longest that ACK allows for a temporary kubeconfig.
const KubeconfigTTL = 72 * time.Hour
