package engine

import (
	"math"
	"strconv"
	"strings"
	"time"
)

var (
	// earliestTime and latestTime stand for what lies beyond them, infinity among
	// it: they are the first and the last that JSON and other readers of RFC 3339
	// can write, and the first is not the zero time, which says that there is none.
	earliestTime = time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC)
	latestTime   = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
)

var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999-07",
	"2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02",
}

// parseTime reads what a driver makes of a time column: a time, a text, or a
// number of seconds, milliseconds or microseconds, recognised by its size. What
// cannot be read is the zero time.
func parseTime(v any) time.Time {
	switch v := v.(type) {
	case time.Time:
		if v.IsZero() {
			return time.Time{}
		}
		return withinTimes(v)
	case int64:
		return unixTime(v)
	case float64:
		return unixSeconds(v)
	case []byte:
		return parseTimeText(string(v))
	case string:
		return parseTimeText(v)
	}
	return time.Time{}
}

func parseTimeText(text string) time.Time {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return unixTime(n)
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return withinTimes(t)
		}
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil || math.IsInf(f, 0) { // infinity as well
		return unixSeconds(f)
	}
	if strings.HasSuffix(text, " BC") {
		return earliestTime
	}
	if year, _, found := strings.Cut(text, "-"); found && len(year) > 4 && strings.Trim(year, "0123456789") == "" {
		return latestTime
	}
	return time.Time{}
}

func withinTimes(t time.Time) time.Time {
	switch t = t.UTC().Truncate(time.Microsecond); {
	case t.Before(earliestTime):
		return earliestTime
	case t.After(latestTime):
		return latestTime
	}
	return t
}

func unixTime(n int64) time.Time {
	switch {
	case -1e11 < n && n < 1e11:
		return withinTimes(time.Unix(n, 0))
	case -1e14 < n && n < 1e14:
		return withinTimes(time.UnixMilli(n))
	}
	return withinTimes(time.UnixMicro(n))
}

func unixSeconds(f float64) time.Time {
	switch {
	case math.IsNaN(f):
		return time.Time{}
	case f >= float64(latestTime.Unix()):
		return latestTime
	case f <= float64(earliestTime.Unix()):
		return earliestTime
	}
	return withinTimes(time.UnixMicro(int64(math.Round(f * 1e6))))
}
