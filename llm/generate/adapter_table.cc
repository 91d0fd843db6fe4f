#include "llm/generate/adapter_table.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::llm {

namespace {

// Sums that are remembered; beyond that, the one unused for longest is made anew when it is asked
// for, without its cached prefixes.
constexpr size_t kMixes = 64;
// Unloaded adapters whose cached prefixes are kept, for as long as nobody needs their memory.
constexpr size_t kUnloaded = 1024;

absl::Status AdapterMissing(const std::string& key) {
  return Error(absl::StatusCode::kNotFound, "ADAPTER_NOT_LOADED",
               absl::StrCat("no adapter is loaded under '", key, "'"));
}

absl::Status BadMix(const std::string& message) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_MIX", message);
}

}  // namespace

void AdapterTable::Add(std::shared_ptr<LoadedAdapter> adapter) {
  adapter->registration = RegistrationFor(adapter->content);
  std::shared_ptr<const LoadedAdapter>& place = adapters_[adapter->key];
  const std::shared_ptr<const LoadedAdapter> former = std::exchange(place, std::move(adapter));
  if (former != nullptr) Leaves(*former);
}

absl::Status AdapterTable::Remove(const std::string& key) {
  const auto it = adapters_.find(key);
  if (it == adapters_.end()) return AdapterMissing(key);
  const std::shared_ptr<const LoadedAdapter> adapter = std::move(it->second);
  adapters_.erase(it);
  Leaves(*adapter);
  return absl::OkStatus();
}

uint64_t AdapterTable::RegistrationFor(const std::string& content) {
  if (content.empty()) return ++registrations_;
  for (const auto& [key, adapter] : adapters_) {
    if (adapter->content == content) return adapter->registration;
  }
  const auto known = std::find_if(unloaded_.begin(), unloaded_.end(),
                                  [&](const Unloaded& other) { return other.content == content; });
  if (known == unloaded_.end()) return ++registrations_;
  const uint64_t registration = known->registration;
  unloaded_.erase(known);
  return registration;
}

// The adapter stands in the table no more.
void AdapterTable::Leaves(const LoadedAdapter& adapter) {
  ForgetMixesOf(adapter.registration);  // They hold its numbers.
  if (adapter.content.empty()) {
    forgotten_.push_back(adapter.registration);
    return;
  }
  for (const auto& [key, other] : adapters_) {
    if (other->registration == adapter.registration) return;
  }
  unloaded_.push_front({adapter.content, adapter.registration});
  if (unloaded_.size() <= kUnloaded) return;
  forgotten_.push_back(unloaded_.back().registration);
  unloaded_.pop_back();
}

void AdapterTable::ForgetMixesOf(uint64_t registration) {
  std::erase_if(mixes_, [&](const RememberedMix& mix) {
    const bool has = std::any_of(mix.key.begin(), mix.key.end(),
                                 [&](const auto& part) { return part.first == registration; });
    if (has) forgotten_.push_back(mix.adapter->registration);
    return has;
  });
}

absl::StatusOr<std::shared_ptr<const LoadedAdapter>> AdapterTable::Find(
    const std::string& key) const {
  if (key.empty()) return nullptr;
  const auto it = adapters_.find(key);
  if (it == adapters_.end()) return AdapterMissing(key);
  return it->second;
}

absl::StatusOr<std::shared_ptr<const LoadedAdapter>> AdapterTable::Mix(
    const std::vector<AdapterPart>& parts) {
  MixKey key;
  auto mix = std::make_shared<LoadedAdapter>();
  for (const AdapterPart& part : parts) {
    ASSIGN_OR_RETURN(const auto adapter, Find(part.adapter));
    if (adapter == nullptr) return BadMix("a mix names adapters; the base model is always part");
    if (!adapter->linear) {
      return BadMix(absl::StrCat("adapter '", part.adapter,
                                 "' is a DoRA, which cannot be added to others; use it alone"));
    }
    if (!std::isfinite(part.weight))
      return BadMix(absl::StrCat("the weight of adapter '", part.adapter, "' is not a number"));
    key.emplace_back(adapter->registration, part.weight);
    mix->rank += adapter->rank;
    for (const AdapterShare& share : adapter->shares)
      mix->shares.push_back({share.weights, share.weight * part.weight});
  }
  const auto known = std::find_if(mixes_.begin(), mixes_.end(),
                                  [&](const RememberedMix& other) { return other.key == key; });
  if (known != mixes_.end()) {
    mixes_.splice(mixes_.begin(), mixes_, known);
    return known->adapter;
  }
  mix->registration = ++registrations_;
  mixes_.push_front({std::move(key), mix});
  if (mixes_.size() > kMixes) {
    forgotten_.push_back(mixes_.back().adapter->registration);
    mixes_.pop_back();
  }
  return mix;
}

std::vector<AdapterInfo> AdapterTable::List() const {
  std::vector<AdapterInfo> infos;
  for (const auto& [key, adapter] : adapters_)
    infos.push_back({key, adapter->rank, adapter->bytes, adapter.use_count() - 1});
  return infos;
}

}  // namespace crossover::llm
