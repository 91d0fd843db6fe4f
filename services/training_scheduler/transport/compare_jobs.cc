#include "services/training_scheduler/transport/compare_jobs.h"

#include <google/protobuf/util/json_util.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "services/training_scheduler/domain/loss_curves.h"
#include "services/training_scheduler/domain/names.h"
#include "services/training_scheduler/transport/convert.h"

namespace crossover::scheduler {
namespace {

constexpr size_t kLossRows = 100;

// Leaves of the resolved spec by path ("training.adapter.r"), as JSON text.
std::map<std::string, std::string> LeavesOf(const Job& job) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  std::map<std::string, std::string> leaves;
  if (!google::protobuf::util::MessageToJsonString(ResolvedToProto(job), &text, options).ok()) {
    return leaves;
  }
  const std::function<void(const std::string&, const nlohmann::json&)> walk =
      [&](const std::string& path, const nlohmann::json& value) {
        if (!value.is_object()) {
          leaves[path] = value.dump();
          return;
        }
        for (const auto& [key, child] : value.items()) {
          walk(path.empty() ? key : path + "." + key, child);
        }
      };
  walk("", nlohmann::json::parse(text));
  return leaves;
}

const MetricPoint* Best(const std::vector<MetricPoint>& points) {
  const MetricPoint* best = nullptr;
  for (const MetricPoint& point : points) {
    const auto loss = point.values.find("valid_loss");
    if (loss == point.values.end()) continue;
    if (best == nullptr || loss->second < best->values.at("valid_loss")) best = &point;
  }
  return best;
}

}  // namespace

v1::CompareJobsResponse Compare(const std::vector<ComparedJob>& jobs) {
  v1::CompareJobsResponse response;
  std::vector<std::map<std::string, std::string>> leaves;
  std::set<std::string> fields;
  for (const ComparedJob& compared : jobs) {
    leaves.push_back(LeavesOf(compared.job));
    for (const auto& [field, value] : leaves.back()) fields.insert(field);
    v1::CompareJobsResponse::Column* column = response.add_columns();
    column->set_name(FormatJobName(compared.job.project, compared.job.id));
    if (!compared.points.empty()) *column->mutable_last() = ToProto(compared.points.back());
    if (const MetricPoint* best = Best(compared.points)) *column->mutable_best() = ToProto(*best);
    *column->mutable_actual() = ToProto(compared.job.actual);
    for (const LossSpike& spike : FindSpikes(compared.points)) {
      v1::CompareJobsResponse::Spike* out = column->add_spikes();
      out->set_step(spike.step);
      out->set_train_loss(spike.loss);
      out->set_median(spike.median);
    }
  }
  std::vector<const std::vector<MetricPoint>*> runs;
  for (const ComparedJob& compared : jobs) runs.push_back(&compared.points);
  for (const LossRow& row : CommonLosses(runs, kLossRows)) {
    v1::CompareJobsResponse::LossRow* out = response.add_losses();
    out->set_step(row.step);
    for (const double loss : row.losses) {
      out->add_train_losses(loss);
      out->add_differences(loss - row.losses[0]);
    }
  }
  for (const std::string& field : fields) {
    std::set<std::string> values;
    for (auto& of_job : leaves) values.insert(of_job[field]);
    if (values.size() == 1) continue;
    v1::CompareJobsResponse::Difference* difference = response.add_differences();
    difference->set_field(field);
    for (auto& of_job : leaves) difference->add_values(of_job[field]);
  }
  return response;
}

}  // namespace crossover::scheduler
