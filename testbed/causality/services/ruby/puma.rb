# SPDX-License-Identifier: Apache-2.0
bind "tcp://127.0.0.1:#{ENV.fetch('PORT')}?backlog=256"
threads 32, 32
persistent_timeout 600
force_shutdown_after :immediately
quiet
