// A map that forgets what was used least recently.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace crossover::llm::constrain {

// Thread-safe. The costs of what is kept sum up to at most `budget`, or there is one entry.
template <typename Key, typename Value>
class Lru {
 public:
  explicit Lru(int64_t budget) : budget_(budget) {}

  // Null if there is none.
  std::shared_ptr<const Value> Find(const Key& key) {
    const std::lock_guard lock(mutex_);
    const auto it = places_.find(key);
    if (it == places_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, it->second);
    return it->second->value;
  }

  // Returns what is kept under the key from now on: `value`, or what another thread has put there.
  std::shared_ptr<const Value> Put(const Key& key, std::shared_ptr<const Value> value,
                                   int64_t cost) {
    const std::lock_guard lock(mutex_);
    const auto [it, fresh] = places_.try_emplace(key);
    if (!fresh) return it->second->value;
    entries_.push_front({key, value, cost});
    it->second = entries_.begin();
    cost_ += cost;
    while (cost_ > budget_ && entries_.size() > 1) {
      cost_ -= entries_.back().cost;
      places_.erase(entries_.back().key);
      entries_.pop_back();
    }
    return value;
  }

  int64_t cost() const {
    const std::lock_guard lock(mutex_);
    return cost_;
  }

 private:
  struct Entry {
    Key key;
    std::shared_ptr<const Value> value;
    int64_t cost = 0;
  };

  const int64_t budget_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // Used last first.
  absl::flat_hash_map<Key, typename std::list<Entry>::iterator> places_;
  int64_t cost_ = 0;
};

}  // namespace crossover::llm::constrain
