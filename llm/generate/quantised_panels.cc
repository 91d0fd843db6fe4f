#include "llm/generate/quantised_panels.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <vector>

#include "llm/model/f32_quantised.h"
#include "llm/model/parallel.h"

namespace crossover::llm {

namespace {

constexpr int64_t kPanelsOfTask = 4;

int64_t PanelsOf(int64_t columns) { return (columns + kPanel - 1) / kPanel; }

// [out, ...] with rows of zeros up to whole panels: [panels, 16, ...].
at::Tensor InPanels(const at::Tensor& rows) {
  std::vector<int64_t> sizes(rows.sizes().begin(), rows.sizes().end());
  const int64_t panels = PanelsOf(sizes[0]);
  sizes[0] = panels * kPanel;
  at::Tensor padded = at::zeros(sizes, rows.options());
  padded.narrow(0, 0, rows.size(0)).copy_(rows);
  sizes[0] = kPanel;
  sizes.insert(sizes.begin(), panels);
  return padded.view(sizes);
}

}  // namespace

bool QuantisedPanels::Here() { return F32QuantisedHere() != nullptr; }

QuantisedPanels::QuantisedPanels(const at::Tensor& weight, DecodeWeights type)
    : type_(weight.size(1) % kInt4Summands == 0 ? type : DecodeWeights::kInt8),
      out_(weight.size(0)),
      in_(weight.size(1)) {
  if (type_ == DecodeWeights::kInt8) {
    PackInt8(weight);
  } else {
    PackInt4(weight);
  }
}

void QuantisedPanels::PackInt8(const at::Tensor& weight) {
  const at::Tensor scale = (weight.abs().amax(1) / 127.0).clamp_min(1e-20);
  const at::Tensor rounded = (weight / scale.unsqueeze(1)).round().clamp(-127, 127).to(at::kChar);
  numbers_ = InPanels(rounded).transpose(1, 2).contiguous();
  scales_ = InPanels(scale).contiguous();
}

void QuantisedPanels::PackInt4(const at::Tensor& weight) {
  const at::Tensor blocks = weight.reshape({out_, in_ / kInt4Summands, kInt4Summands});
  const at::Tensor low = blocks.amin(2);
  const at::Tensor scale = ((blocks.amax(2) - low) / 15.0).clamp_min(1e-20);
  const at::Tensor rounded =
      ((blocks - low.unsqueeze(2)) / scale.unsqueeze(2)).round().clamp(0, 15).to(at::kByte);
  // [panels, 2, 8, in]: column j of the low and j + 8 of the high half.
  const at::Tensor halves = InPanels(rounded.reshape({out_, in_})).view({-1, 2, kPanel / 2, in_});
  numbers_ = (halves.select(1, 0) + halves.select(1, 1) * 16).transpose(1, 2).contiguous();
  // [panels, 16, blocks] twice to [panels, blocks, 2, 16].
  scales_ = at::stack({InPanels(scale), InPanels(low)}, 0).permute({1, 3, 0, 2}).contiguous();
}

at::Tensor QuantisedPanels::Multiply(const at::Tensor& x) const {
  TORCH_CHECK(x.dim() == 2 && x.size(1) == in_ && x.scalar_type() == at::kFloat &&
                  (in_ <= 1 || x.stride(1) == 1),
              "A factor of quantised weights has sizes ", x.sizes(), " and type ", x.scalar_type(),
              "; expected rows of ", in_, " consecutive fp32 numbers.");
  at::Tensor y = at::empty({x.size(0), out_}, x.options());
  const float* a = x.const_data_ptr<float>();
  const float* scales = scales_.const_data_ptr<float>();
  float* c = y.mutable_data_ptr<float>();
  const int64_t panels = PanelsOf(out_);
  ParallelTasks((panels + kPanelsOfTask - 1) / kPanelsOfTask, [&](int64_t task) {
    const int64_t begin = task * kPanelsOfTask, end = std::min(panels, begin + kPanelsOfTask);
    if (type_ == DecodeWeights::kInt8) {
      F32QuantisedHere()->int8(a, x.stride(0), x.size(0),
                               {numbers_.const_data_ptr<int8_t>(), scales, in_}, begin, end, out_,
                               c, out_);
    } else {
      F32QuantisedHere()->int4(a, x.stride(0), x.size(0),
                               {numbers_.const_data_ptr<uint8_t>(), scales, in_}, begin, end, out_,
                               c, out_);
    }
  });
  return y;
}

}  // namespace crossover::llm
