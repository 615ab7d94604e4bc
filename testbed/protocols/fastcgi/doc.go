// SPDX-License-Identifier: Apache-2.0

// Package fastcgi compares what the collector reports of FastCGI between nginx and php-fpm
// with what was asked of nginx.
package fastcgi
