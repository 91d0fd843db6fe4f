// A TCP relay on the loopback whose connections can be cut, all at once and without a farewell.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

namespace crossover::chaos {

// Owns one thread. Relays to 127.0.0.1:target_port, which need not be there yet.
class CutProxy {
 public:
  explicit CutProxy(int target_port);
  ~CutProxy();
  CutProxy(const CutProxy&) = delete;
  CutProxy& operator=(const CutProxy&) = delete;

  int port() const { return port_; }
  // Resets every connection; new ones are taken as before.
  void Cut() { cut_ = true; }

 private:
  struct Pair {
    int client = -1;
    int server = -1;
  };

  void Run();
  void Accept();
  void CloseAll();

  const int target_port_;
  int listener_ = -1;
  int port_ = 0;
  std::vector<Pair> pairs_;  // of the thread
  std::atomic<bool> cut_ = false;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

}  // namespace crossover::chaos
