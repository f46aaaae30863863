package sqllog

import "context"

func listen(ctx context.Context, s settings, f *feed) {}
