// Who may publish on a topic. Names are looked up when the configuration is read: who asks for them later may wait for
// a directory service, and the control thread must not.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "bus/base/result.hpp"
#include "bus/control/socket.hpp"

namespace millrace::daemon {

class Writers {
 public:
  // A user, or a group as "@group". Errors: not_found if this host has none of that name.
  [[nodiscard]] Status add(const std::string& name);
  // Listed, by a user or by any group of the process, or root, or the core's own user. Without a list: everybody.
  [[nodiscard]] bool allow(const control::Peer& peer) const;
  // As configured: "ledger, @desk".
  [[nodiscard]] const std::string& names() const { return names_; }

 private:
  std::string names_;
  std::vector<uid_t> users_;
  std::vector<gid_t> groups_;
};

}  // namespace millrace::daemon
