;; Streaming anomaly detection: winsorised EWMA z-score, hard limits, stuck sensor.
;;
;; The layout of request and response, the method and its source are described in anomaly.py
;; beside this folder; `respond` there computes the same bytes, and the contract tests compare
;; them. Everything here is IEEE 754 double arithmetic in one fixed order, so every engine
;; agrees to the bit.
;;
;; Calling convention me-abi/1: the host writes the request at `input`, calls `run` with its
;; length, and gets (address << 32 | length) of the response, or -1 if the request is refused.

(module
  (memory (export "memory") 1 1)

  ;; Memory map: request at 1024 (1048 bytes at most), response at 4096 (1120 at most).
  (global $request (export "input") i32 (i32.const 1024))
  (global $response i32 (i32.const 4096))

  (global $magic i32 (i32.const 0x3141454d))
  (global $readings_max i32 (i32.const 120))
  (global $count_max i32 (i32.const 0x40000000))
  (global $value_max f64 (f64.const 1e100))
  (global $mean_max f64 (f64.const 2e100))
  (global $variance_max f64 (f64.const 1.6e201))
  (global $floor_min f64 (f64.const 1e-100))

  (global $flag_deviation i32 (i32.const 1))
  (global $flag_limit i32 (i32.const 2))
  (global $flag_stuck i32 (i32.const 4))
  (global $flag_invalid i32 (i32.const 8))

  ;; Parameters of this call.
  (global $count (mut i32) (i32.const 0))
  (global $weight (mut f64) (f64.const 0))
  (global $deviations_max (mut f64) (f64.const 0))
  (global $deviation_floor (mut f64) (f64.const 0))
  (global $lower (mut f64) (f64.const 0))
  (global $upper (mut f64) (f64.const 0))
  (global $warm_up_count (mut i32) (i32.const 0))
  (global $stuck_count (mut i32) (i32.const 0))

  ;; The state, carried from request to response.
  (global $seen_count (mut i32) (i32.const 0))
  (global $equal_count (mut i32) (i32.const 0))
  (global $mean (mut f64) (f64.const 0))
  (global $variance (mut f64) (f64.const 0))
  (global $last (mut f64) (f64.const 0))

  ;; What $score found out about one reading.
  (global $score_value (mut f64) (f64.const 0))
  (global $score_flags (mut i32) (i32.const 0))

  ;; low <= value <= high; false for NaN.
  (func $within (param $value f64) (param $low f64) (param $high f64) (result i32)
    (i32.and
      (f64.le (local.get $low) (local.get $value))
      (f64.le (local.get $value) (local.get $high))))

  (func $within_magnitude (param $value f64) (param $max f64) (result i32)
    (call $within (local.get $value) (f64.neg (local.get $max)) (local.get $max)))

  ;; One more, up to $count_max.
  (func $count_up (param $count i32) (result i32)
    (select
      (local.get $count)
      (i32.add (local.get $count) (i32.const 1))
      (i32.ge_u (local.get $count) (global.get $count_max))))

  ;; The larger of two numbers that are not NaN.
  (func $larger (param $a f64) (param $b f64) (result f64)
    (select (local.get $b) (local.get $a) (f64.gt (local.get $b) (local.get $a))))

  ;; Take parameters and state from the request; 0 if it is no request.
  (func $read_request (param $length i32) (result i32)
    (if (i32.lt_u (local.get $length) (i32.const 88))
      (then (return (i32.const 0))))
    (if (i32.ne (i32.load (global.get $request)) (global.get $magic))
      (then (return (i32.const 0))))
    (global.set $count (i32.load offset=4 (global.get $request)))
    (if (i32.eqz (global.get $count))
      (then (return (i32.const 0))))
    (if (i32.gt_u (global.get $count) (global.get $readings_max))
      (then (return (i32.const 0))))
    (if (i32.ne
          (local.get $length)
          (i32.add (i32.const 88) (i32.shl (global.get $count) (i32.const 3))))
      (then (return (i32.const 0))))
    (global.set $weight (f64.load offset=8 (global.get $request)))
    (global.set $deviations_max (f64.load offset=16 (global.get $request)))
    (global.set $deviation_floor (f64.load offset=24 (global.get $request)))
    (global.set $lower (f64.load offset=32 (global.get $request)))
    (global.set $upper (f64.load offset=40 (global.get $request)))
    (global.set $warm_up_count (i32.load offset=48 (global.get $request)))
    (global.set $stuck_count (i32.load offset=52 (global.get $request)))
    (global.set $seen_count (i32.load offset=56 (global.get $request)))
    (global.set $equal_count (i32.load offset=60 (global.get $request)))
    (global.set $mean (f64.load offset=64 (global.get $request)))
    (global.set $variance (f64.load offset=72 (global.get $request)))
    (global.set $last (f64.load offset=80 (global.get $request)))
    (i32.and (call $parameters_are_valid) (call $state_is_valid)))

  (func $parameters_are_valid (result i32)
    (i32.and
      (i32.and
        (i32.and
          (f64.lt (f64.const 0) (global.get $weight))
          (f64.le (global.get $weight) (f64.const 1)))
        (i32.and
          (f64.lt (f64.const 0) (global.get $deviations_max))
          (f64.le (global.get $deviations_max) (global.get $value_max))))
      (i32.and
        (call $within
          (global.get $deviation_floor) (global.get $floor_min) (global.get $value_max))
        (f64.le (global.get $lower) (global.get $upper)))))

  (func $state_is_valid (result i32)
    (i32.and
      (i32.and
        (i32.and
          (i32.le_u (global.get $seen_count) (global.get $count_max))
          (i32.le_u (global.get $equal_count) (global.get $count_max)))
        (call $within_magnitude (global.get $mean) (global.get $mean_max)))
      (i32.and
        (call $within (global.get $variance) (f64.const 0) (global.get $variance_max))
        (call $within_magnitude (global.get $last) (global.get $value_max)))))

  ;; Score one reading and move the state on.
  (func $score (param $reading f64)
    (local $is_stuck i32)
    (local $difference f64)
    (local $deviation f64)
    (local $bound f64)
    (global.set $score_value (f64.const 0))
    (global.set $score_flags (i32.const 0))
    (if (i32.eqz (call $within_magnitude (local.get $reading) (global.get $value_max)))
      (then
        (global.set $score_flags (global.get $flag_invalid))
        (return)))
    (if (i32.or
          (f64.lt (local.get $reading) (global.get $lower))
          (f64.gt (local.get $reading) (global.get $upper)))
      (then (call $raise (global.get $flag_limit))))

    ;; Equal readings in a row.
    (global.set $equal_count
      (select
        (call $count_up (global.get $equal_count))
        (i32.const 1)
        (i32.and
          (i32.gt_u (global.get $equal_count) (i32.const 0))
          (f64.eq (local.get $reading) (global.get $last)))))
    (global.set $last (local.get $reading))
    (local.set $is_stuck
      (i32.and
        (i32.lt_u (i32.const 0) (global.get $stuck_count))
        (i32.le_u (global.get $stuck_count) (global.get $equal_count))))
    (if (local.get $is_stuck)
      (then (call $raise (global.get $flag_stuck))))

    ;; Distance from the mean in standard deviations; winsorise what is learnt from.
    (local.set $difference (f64.sub (local.get $reading) (global.get $mean)))
    (local.set $deviation
      (call $larger (f64.sqrt (global.get $variance)) (global.get $deviation_floor)))
    (if (i32.ge_u (global.get $seen_count) (global.get $warm_up_count))
      (then
        (global.set $score_value (f64.div (local.get $difference) (local.get $deviation)))
        (if (f64.gt (f64.abs (global.get $score_value)) (global.get $deviations_max))
          (then
            (call $raise (global.get $flag_deviation))
            (local.set $bound (f64.mul (global.get $deviations_max) (local.get $deviation)))
            (local.set $difference
              (select
                (local.get $bound)
                (f64.neg (local.get $bound))
                (f64.gt (local.get $difference) (f64.const 0))))))))
    (if (i32.eqz (local.get $is_stuck))
      (then (call $learn (local.get $difference)))))

  (func $raise (param $flag i32)
    (global.set $score_flags (i32.or (global.get $score_flags) (local.get $flag))))

  ;; Move mean and variance: the first readings count equally, later ones by weight.
  (func $learn (param $difference f64)
    (local $share f64)
    (local $step f64)
    (local.set $share
      (call $larger
        (global.get $weight)
        (f64.div
          (f64.const 1)
          (f64.add (f64.convert_i32_u (global.get $seen_count)) (f64.const 1)))))
    (local.set $step (f64.mul (local.get $share) (local.get $difference)))
    (global.set $mean (f64.add (global.get $mean) (local.get $step)))
    (global.set $variance
      (f64.mul
        (f64.sub (f64.const 1) (local.get $share))
        (f64.add (global.get $variance) (f64.mul (local.get $difference) (local.get $step)))))
    (global.set $seen_count (call $count_up (global.get $seen_count))))

  (func $write_state
    (i32.store (global.get $response) (global.get $magic))
    (i32.store offset=4 (global.get $response) (global.get $count))
    (i32.store offset=8 (global.get $response) (global.get $seen_count))
    (i32.store offset=12 (global.get $response) (global.get $equal_count))
    (f64.store offset=16 (global.get $response) (global.get $mean))
    (f64.store offset=24 (global.get $response) (global.get $variance))
    (f64.store offset=32 (global.get $response) (global.get $last)))

  (func (export "run") (param $length i32) (result i64)
    (local $index i32)
    (local $flags_start i32)
    (local $step i32)
    (if (i32.eqz (call $read_request (local.get $length)))
      (then (return (i64.const -1))))
    ;; Scores start 40 bytes into the response, flags behind the last score.
    (local.set $flags_start
      (i32.add
        (i32.add (global.get $response) (i32.const 40))
        (i32.shl (global.get $count) (i32.const 3))))
    (loop $next
      (local.set $step (i32.shl (local.get $index) (i32.const 3)))
      (call $score (f64.load offset=88 (i32.add (global.get $request) (local.get $step))))
      (f64.store offset=40
        (i32.add (global.get $response) (local.get $step)) (global.get $score_value))
      (i32.store8
        (i32.add (local.get $flags_start) (local.get $index)) (global.get $score_flags))
      (local.set $index (i32.add (local.get $index) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $index) (global.get $count))))
    (call $write_state)
    (i64.or
      (i64.shl (i64.extend_i32_u (global.get $response)) (i64.const 32))
      (i64.extend_i32_u
        (i32.add
          (i32.const 40)
          (i32.mul (global.get $count) (i32.const 9))))))
)
