// Metrics: counters, gauges and histograms with labels, in Prometheus' text form.
//
// Names are `crossover_<package>_<noun>_<unit>` in base units (seconds, bytes, ratio); counters end
// in _total. Labels are bounded by configuration: never a job, user, key, row or prompt. The only
// room that knows prometheus-cpp.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
template <typename T>
class Family;
}  // namespace prometheus

namespace crossover::metrics {

using Labels = std::map<std::string, std::string>;

// The three instruments are handles: cheap to copy, thread-safe, valid as long as the Registry.
// Keep them; don't look them up for every event.
class Counter {
 public:
  explicit Counter(prometheus::Counter* impl) : impl_(impl) {}
  void Increment(double by = 1);  // by >= 0
  double Value() const;

 private:
  prometheus::Counter* impl_;
};

class Gauge {
 public:
  explicit Gauge(prometheus::Gauge* impl) : impl_(impl) {}
  void Set(double value);
  void Add(double by);
  double Value() const;

 private:
  prometheus::Gauge* impl_;
};

class Histogram {
 public:
  explicit Histogram(prometheus::Histogram* impl) : impl_(impl) {}
  void Observe(double value);
  uint64_t Count() const;
  double Sum() const;

 private:
  prometheus::Histogram* impl_;
};

// The instruments of one name. With() finds or makes the one with these labels (a lock and a
// lookup).
class CounterFamily {
 public:
  explicit CounterFamily(prometheus::Family<prometheus::Counter>* impl) : impl_(impl) {}
  Counter With(const Labels& labels) const;

 private:
  prometheus::Family<prometheus::Counter>* impl_;
};

class GaugeFamily {
 public:
  explicit GaugeFamily(prometheus::Family<prometheus::Gauge>* impl) : impl_(impl) {}
  Gauge With(const Labels& labels) const;
  // Drops a label set that no longer exists (a finished experiment); unknown ones are ignored.
  void Remove(const Labels& labels) const;

 private:
  prometheus::Family<prometheus::Gauge>* impl_;
};

class HistogramFamily {
 public:
  HistogramFamily(prometheus::Family<prometheus::Histogram>* impl, std::vector<double> buckets)
      : impl_(impl), buckets_(std::move(buckets)) {}
  Histogram With(const Labels& labels) const;

 private:
  prometheus::Family<prometheus::Histogram>* impl_;
  std::vector<double> buckets_;
};

// Upper bounds in seconds from 100 µs to 600 s, about three a decade.
std::vector<double> DurationBuckets();
// Powers of two from 1 to 4,194,304: rows, tokens, KiB.
std::vector<double> CountBuckets();

// Thread-safe. One per process. Asking for a name again gives the same instrument; asking for it as
// another kind aborts (a programming error).
class Registry {
 public:
  // Sets crossover_build_info{service,version} to 1.
  explicit Registry(std::string service, std::string version = "0.1.0");
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  Counter NewCounter(const std::string& name, const std::string& help, const Labels& labels = {});
  Gauge NewGauge(const std::string& name, const std::string& help, const Labels& labels = {});
  Histogram NewHistogram(const std::string& name, const std::string& help,
                         std::vector<double> buckets = DurationBuckets(),
                         const Labels& labels = {});

  CounterFamily NewCounterFamily(const std::string& name, const std::string& help);
  GaugeFamily NewGaugeFamily(const std::string& name, const std::string& help);
  HistogramFamily NewHistogramFamily(const std::string& name, const std::string& help,
                                     std::vector<double> buckets = DurationBuckets());

  // Text exposition format 0.0.4, for GET /metrics.
  std::string Expose() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::metrics
