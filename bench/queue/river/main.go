// River (github.com/riverqueue/river) over no-op jobs, for comparison: inserts them, then times how
// long its client takes to work them all.
//
// Usage: river_bench DSN JOBS. Lines: `name value unit`.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

const (
	workers     = 200
	insertBatch = 1000
)

type noOp struct{}

func (noOp) Kind() string { return "no_op" }

type worker struct {
	river.WorkerDefaults[noOp]
	done *atomic.Int64
}

func (w *worker) Work(context.Context, *river.Job[noOp]) error {
	w.done.Add(1)
	return nil
}

func insert(ctx context.Context, client *river.Client[pgx.Tx], jobs int) error {
	for left := jobs; left > 0; left -= insertBatch {
		batch := make([]river.InsertManyParams, min(left, insertBatch))
		for i := range batch {
			batch[i] = river.InsertManyParams{Args: noOp{}}
		}
		if _, err := client.InsertManyFast(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// Waits until the last completion is in the database: River acknowledges in batches of its own.
func finished(ctx context.Context, pool *pgxpool.Pool, jobs int) error {
	for {
		var completed int
		err := pool.QueryRow(ctx, "SELECT count(*) FROM river_job WHERE state = 'completed'").Scan(&completed)
		if err != nil || completed >= jobs {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func run(dsn string, jobs int) error {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	if _, err := pool.Exec(ctx, "TRUNCATE river_job"); err != nil {
		return err
	}
	var done atomic.Int64
	registered := river.NewWorkers()
	river.AddWorker(registered, &worker{done: &done})
	client, err := river.NewClient[pgx.Tx](driver, &river.Config{
		Workers:           registered,
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
		FetchCooldown:     2 * time.Millisecond,
		FetchPollInterval: 50 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := insert(ctx, client, jobs); err != nil {
		return err
	}
	inserted := time.Since(begin)
	if _, err := pool.Exec(ctx, "VACUUM ANALYZE river_job"); err != nil {
		return err
	}
	begin = time.Now()
	if err := client.Start(ctx); err != nil {
		return err
	}
	for done.Load() < int64(jobs) {
		time.Sleep(time.Millisecond)
	}
	if err := finished(ctx, pool, jobs); err != nil {
		return err
	}
	worked := time.Since(begin)
	if err := client.Stop(ctx); err != nil {
		return err
	}
	fmt.Printf("river.inserted_per_second %.0f jobs/s\n", float64(jobs)/inserted.Seconds())
	fmt.Printf("river.worked_per_second %.0f jobs/s\n", float64(jobs)/worked.Seconds())
	return nil
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: river_bench DSN JOBS")
		os.Exit(2)
	}
	jobs, err := strconv.Atoi(os.Args[2])
	if err == nil {
		err = run(os.Args[1], jobs)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "river_bench:", err)
		os.Exit(1)
	}
}
