package redislog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// oldestServer is the first version of Redis that this package was tested with.
const oldestServer = 7

// checkServer refuses a server that cannot carry a log, and tells the logger
// what its configuration may lose. It reports whether the server is one of a
// cluster.
func checkServer(ctx context.Context, node func(context.Context) (*redis.Client, error), logger *slog.Logger) (cluster bool, err error) {
	client, err := node(ctx)
	if err != nil {
		return false, err
	}
	text, err := client.Info(ctx).Result()
	if redis.IsPermissionError(err) {
		return false, nil // what is missing will show by itself
	}
	if err != nil {
		return false, err
	}
	info := parseInfo(text)
	version := info["redis_version"]
	if major, err := strconv.Atoi(strings.SplitN(version, ".", 2)[0]); err == nil && major < oldestServer {
		return false, fmt.Errorf("the server is Redis %s: version %d.0 or later, or Valkey, is needed", version, oldestServer)
	}
	if info["role"] == "slave" {
		return false, errors.New("the server is a read-only replica, which may lag: give the client the address of the master, or of the sentinels")
	}
	if logger != nil {
		warn(ctx, client, info, logger)
	}
	return info["redis_mode"] == "cluster", nil
}

// warn names every setting by which this server can lose events or the log.
func warn(ctx context.Context, client *redis.Client, info map[string]string, logger *slog.Logger) {
	save, err := client.ConfigGet(ctx, "save").Result()
	snapshots := err != nil || save["save"] != "" // unknown is not warned about
	if info["aof_enabled"] == "0" && !snapshots {
		logger.WarnContext(ctx, "redis keeps nothing on disk: a restart loses the log, and followers get a reset",
			"aof_enabled", 0, "save", "", "fix", "appendonly yes")
	} else if info["aof_enabled"] == "0" {
		logger.WarnContext(ctx, "redis keeps snapshots only: a crash loses what was appended since the last, and followers get a reset",
			"aof_enabled", 0, "fix", "appendonly yes")
	}
	policy := info["maxmemory_policy"]
	if strings.HasPrefix(policy, "allkeys-") && info["maxmemory"] != "0" {
		logger.WarnContext(ctx, "redis may evict the log when its memory is full, and followers get a reset",
			"maxmemory_policy", policy, "fix", "maxmemory-policy noeviction or volatile-*")
	}
}

// parseInfo reads the lines name:value of INFO.
func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}
