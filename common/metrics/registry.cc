#include "common/metrics/registry.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <mutex>

namespace crossover::metrics {

void Counter::Increment(double by) { impl_->Increment(by); }
double Counter::Value() const { return impl_->Value(); }
void Gauge::Set(double value) { impl_->Set(value); }
void Gauge::Add(double by) { impl_->Increment(by); }
double Gauge::Value() const { return impl_->Value(); }
void Histogram::Observe(double value) { impl_->Observe(value); }
uint64_t Histogram::Count() const { return impl_->Collect().histogram.sample_count; }
double Histogram::Sum() const { return impl_->Collect().histogram.sample_sum; }

Counter CounterFamily::With(const Labels& labels) const { return Counter(&impl_->Add(labels)); }
Gauge GaugeFamily::With(const Labels& labels) const { return Gauge(&impl_->Add(labels)); }

void GaugeFamily::Remove(const Labels& labels) const {
  if (impl_->Has(labels)) impl_->Remove(&impl_->Add(labels));
}

Histogram HistogramFamily::With(const Labels& labels) const {
  return Histogram(&impl_->Add(labels, prometheus::Histogram::BucketBoundaries(buckets_)));
}

std::vector<double> DurationBuckets() {
  return {0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2,
          0.5,    1,      2,      5,     10,    20,    60,   120,  300,  600};
}

std::vector<double> CountBuckets() {
  std::vector<double> out;
  for (double bound = 1; bound <= 4'194'304; bound *= 2) out.push_back(bound);
  return out;
}

// prometheus::Registry throws if a name is asked for as another kind: that is the abort which the
// header promises.
struct Registry::Impl {
  prometheus::Registry registry{prometheus::Registry::InsertBehavior::Merge};
};

Registry::Registry(std::string service, std::string version) : impl_(std::make_unique<Impl>()) {
  NewGauge("crossover_build_info", "Constant 1, labelled with what is running.",
           {{"service", std::move(service)}, {"version", std::move(version)}})
      .Set(1);
}

Registry::~Registry() = default;

CounterFamily Registry::NewCounterFamily(const std::string& name, const std::string& help) {
  return CounterFamily(&prometheus::BuildCounter().Name(name).Help(help).Register(impl_->registry));
}

GaugeFamily Registry::NewGaugeFamily(const std::string& name, const std::string& help) {
  return GaugeFamily(&prometheus::BuildGauge().Name(name).Help(help).Register(impl_->registry));
}

HistogramFamily Registry::NewHistogramFamily(const std::string& name, const std::string& help,
                                             std::vector<double> buckets) {
  return HistogramFamily(
      &prometheus::BuildHistogram().Name(name).Help(help).Register(impl_->registry),
      std::move(buckets));
}

Counter Registry::NewCounter(const std::string& name, const std::string& help,
                             const Labels& labels) {
  return NewCounterFamily(name, help).With(labels);
}

Gauge Registry::NewGauge(const std::string& name, const std::string& help, const Labels& labels) {
  return NewGaugeFamily(name, help).With(labels);
}

Histogram Registry::NewHistogram(const std::string& name, const std::string& help,
                                 std::vector<double> buckets, const Labels& labels) {
  return NewHistogramFamily(name, help, std::move(buckets)).With(labels);
}

std::string Registry::Expose() const {
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace crossover::metrics
